"use strict";
// Sortable tables: by the number a cell begins with, else by its text.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const cell = (row) => row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [parseFloat(cell(a)), parseFloat(cell(b))];
        if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
        return x - y || cell(a).localeCompare(cell(b));
      };
      const rows = [...body.rows].sort(compare);
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}

// Transcripts: shown when every filter agrees. The address can carry filters: report.html#verdict=wrong&q=carry
const form = document.getElementById("filters");
if (form) {
  const rows = [...document.querySelectorAll(".transcript")];
  const count = document.getElementById("shown");
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value);
    let shown = 0;
    rows.forEach((row, i) => {
      const keep = wanted.every(([name, value]) =>
        name === "q" ? texts[i].includes(value.toLowerCase()) : row.dataset[name] === value);
      row.hidden = !keep;
      shown += keep;
    });
    count.textContent = `${shown} of ${rows.length} shown`;
  };
  const read = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const field of form.elements) if (field.name && wanted.has(field.name)) field.value = wanted.get(field.name);
    apply();
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  window.addEventListener("hashchange", read);
  read();
}

// Decisions: the reader sets prices, and every stored answer is given or held back. All text goes in as text.
for (const form of document.querySelectorAll("form.decide")) {
  const sides = JSON.parse(form.dataset.sides);
  const make = (parent, name, text, attributes = {}) => {
    const space = parent.namespaceURI;
    const node = parent.appendChild(document.createElementNS(space, name));
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== "") node.textContent = text;
    return node;
  };
  const svg = form.querySelector("svg"), table = form.querySelector("table"), list = form.querySelector("ul");
  const show = (value, digits = 3) => Number.isFinite(value) ? value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1") : "n/a";
  // What answering from a confidence on earns; silent answers are given only by "always answer".
  const earn = ({ counts, silent }, from, wrong, abstain, all) => {
    let total = silent[0], given = all ? silent[0] : 0, right = all ? silent[1] : 0;
    for (const [q, n, c] of counts) {
      total += n;
      if (q >= from) { given += n; right += c; }
    }
    const utility = (right + (given - right) * wrong + (total - given) * abstain) / total;
    return { utility, coverage: given / total, accuracy: right / given };
  };
  const apply = () => {
    const side = sides[form.side ? form.side.value : Object.keys(sides)[0]];
    const [wrong, abstain] = [Number(form.wrong.value), Number(form.abstain.value)];
    form.wrong.previousElementSibling.textContent = show(wrong, 1);
    form.abstain.previousElementSibling.textContent = show(abstain, 2);
    const pays = (q) => q + (1 - q) * wrong >= abstain - 1e-12;
    const from = Math.min(Math.max((abstain - wrong) / (1 - wrong), 0), 1) - 1e-12;
    form.querySelector(".choice").textContent =
      `Answering pays from a confidence of ${show(Math.max(from, 0))} on; below it, no answer is the better choice.`;
    const best = [...side.counts.map(([q]) => q), 2]
      .map((q) => [q, earn(side, q, wrong, abstain)])
      .reduce((a, b) => (b[1].utility > a[1].utility ? b : a));
    table.querySelectorAll("thead, tbody").forEach((part) => part.remove());
    const head = make(make(table, "thead", ""), "tr", ""), body = make(table, "tbody", "");
    for (const name of ["policy", "utility", "answered", "right among them"]) make(head, "th", name, { scope: "col" });
    for (const [name, found] of [
      ["act on the stated confidence", earn(side, from, wrong, abstain)],
      ["always answer", earn(side, 0, wrong, abstain, true)],
      ["never answer", earn(side, 2, wrong, abstain)],
      [`best threshold in hindsight (${best[0] > 1 ? "never" : show(best[0], 2)})`, best[1]],
    ]) {
      const row = make(body, "tr", "");
      make(row, "th", name, { scope: "row" });
      for (const value of [found.utility, found.coverage, found.accuracy]) make(row, "td", show(value));
    }
    svg.replaceChildren();
    const bins = Array.from({ length: 20 }, () => [0, 0]);
    for (const [q, n, c] of side.counts) {
      const bin = bins[Math.min(19, Math.floor(q * 20 + 1e-9))];
      bin[0] += c; bin[1] += n - c;
    }
    const most = Math.max(...bins.map(([c, w]) => c + w));
    bins.forEach(([c, w], i) => {
      const high = 90 / most, held = (i + 0.5) / 20 < from ? "held" : "";
      const at = { x: 20 + 30 * i + 1, width: 28 };
      make(svg, "rect", "", { ...at, y: 100 - c * high, height: c * high, class: `right ${held}` });
      make(svg, "rect", "", { ...at, y: 100 - (c + w) * high, height: w * high, class: `wrong ${held}` });
    });
    const x = 20 + 600 * Math.max(from, 0);
    make(svg, "line", "", { x1: x, x2: x, y1: 4, y2: 104, class: "cut" });
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) make(svg, "text", tick, { x: 20 + 600 * tick, y: 120, "text-anchor": "middle" });
    list.replaceChildren();
    for (const [id, answer, q, right] of side.answers) {
      const row = make(list, "li", "");
      make(row, "span", pays(q) ? "answer" : "no answer", { class: `tag ${pays(q) ? (right ? "right" : "wrong") : ""}` });
      make(row, "span", `sure ${show(q, 2)}`);
      make(row, "bdi", answer);
      make(row, "span", right ? "right" : "wrong");
      make(row, "bdi", id);
    }
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
