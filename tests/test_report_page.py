"""The report shows what the summary holds, and untrusted text as text: page, Markdown, transcripts."""

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rlvr.core.answer_format import AnswerFormat
from rlvr.report import eval_table, summarise, to_html, to_markdown, write_report
from rlvr.report.figures import draw
from rlvr.report.markdown import escape, markdown_table
from rlvr.report.show import visible
from rlvr.report.tables import Table
from rlvr.report.transcripts import ROWS, TEXT, transcripts
from rlvr.runs.eval_file import save_eval
from tests.fake_run import HOSTILE, counted_evaluation, drawn_evaluation, evaluation, full_run, sample, write_run
from tests.hostile_text import MANY, hostile


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A complete run whose completions are hostile."""
    return full_run(tmp_path_factory.mktemp("runs") / "rlcr-tiny-s0-20260101-120000")


@pytest.fixture(scope="module")
def summary(run):
    return summarise([run])


@pytest.fixture(scope="module")
def drawings(summary):
    return draw(summary)


@pytest.fixture(scope="module")
def page(summary, drawings) -> str:
    return to_html(summary, drawings)


def test_one_run_states_its_one_seed(summary):
    assert summary["limits"][0].startswith("One seed per setting")
    assert "60 problems with 8 samples" in summary["limits"][1]


# ---------------------------------------------------------------------- transcripts


def test_transcripts_come_from_both_ends_in_whole_groups(run):
    files = sorted((run / "rollouts").glob("*.parquet"))
    found = transcripts({"run": [files[0], *files * 4]})["rows"]
    assert {row["step"] for row in found} == {1, 58, 59, 60}
    many = transcripts({f"run {i}": files for i in range(5)})["rows"]
    assert len(many) == 160 <= ROWS  # 200 // (5 * 4 files) = 10 rows: one whole group of 8 from each
    groups = {}
    for row in many:
        groups[row["run"], row["step"], row["group"]] = groups.get((row["run"], row["step"], row["group"]), 0) + 1
    assert set(groups.values()) == {8}


def test_long_completions_are_cut_and_say_so(summary):
    rows = [row for row in summary["transcripts"]["rows"] if row["left_out"]]
    assert rows
    for row in rows:
        assert len(row["completion"].encode()) <= TEXT
        assert row["left_out"] == len("hostile 6: " + HOSTILE[6]) - len(row["completion"])
    assert "cut to 2048 bytes" in summary["transcripts"]["notes"][1]


# ---------------------------------------------------------------------- the page


class Page(HTMLParser):
    """Collects what a browser would see: tags, attributes, scripts, text; and checks that tags nest."""

    VOID = frozenset({"meta", "br", "img", "input", "hr", "link"})

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags, self.attrs, self.scripts, self.text = [], [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs += [(tag, key, value) for key, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)


def test_hostile_completions_are_text(page):
    seen = Page(page)
    text = "".join(seen.text)
    for completion in HOSTILE[:6]:
        assert visible(completion) in text
    assert len(seen.scripts) == 1
    assert "alert" not in seen.scripts[0]
    assert "img" not in seen.tags
    assert not [a for a in seen.attrs if a[1].startswith("on")]
    assert "{{ 7 * 7 }}" in text
    assert not set(page) & {"\x1b", "\x00", "\x9b", "\u202e"}


@pytest.mark.parametrize("count", [2_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_many_hostile_completions_make_no_element_and_cost_no_time(count, summary, drawings):
    """Every one of them as completion and as answer: the page has the elements that it has with harmless ones."""
    row = summary["transcripts"]["rows"][0]
    at_once = 2_000

    def page_of(texts: list[str]) -> tuple[Page, float]:
        rows = [row | {"completion": text, "answer": text, "left_out": 0} for text in texts]
        start = time.perf_counter()
        html = to_html(summary | {"transcripts": {"rows": rows, "notes": []}}, drawings)
        return Page(html), (time.perf_counter() - start) / len(texts)

    harmless, _ = page_of(["text"] * at_once)
    for first in range(0, count, at_once):
        texts = [hostile(seed) for seed in range(first, first + at_once)]
        seen, seconds = page_of(texts)
        assert seen.tags == harmless.tags
        assert seen.attrs == harmless.attrs
        assert seconds < 0.05
        shown = "".join(seen.text)
        assert all(visible(text) in shown for text in texts[:100])


@pytest.mark.parametrize("spec", ["boxed", "last_number(confidence='line')", "regex(pattern='#### (.+)')", "tags"])
def test_answers_read_from_hostile_completions_in_any_form_make_no_element(spec, summary, drawings):
    answers, row = AnswerFormat.of(spec), summary["transcripts"]["rows"][0]

    def page_of(texts: list[str], answered: list[str | None]) -> Page:
        rows = [
            row | {"completion": text, "answer": answer, "left_out": 0}
            for text, answer in zip(texts, answered, strict=True)
        ]
        return Page(to_html(summary | {"transcripts": {"rows": rows, "notes": []}}, drawings))

    texts = [answers.write(hostile(seed), hostile(seed + 1), 0.5) for seed in range(400)] + list(HOSTILE[:6])
    answered = [answers.parse(text).answer for text in texts]
    assert spec.startswith("last_number") or sum(answer is not None for answer in answered) > 40
    seen = page_of(texts, answered)
    harmless = page_of(["text"] * len(texts), [answer and "text" for answer in answered])
    assert (seen.tags, seen.attrs) == (harmless.tags, harmless.attrs)


def test_only_our_script_may_run_and_nothing_is_fetched(page):
    seen = Page(page)
    policy = next(v for tag, key, v in seen.attrs if tag == "meta" and key == "content" and "script-src" in v)
    digest = base64.b64encode(hashlib.sha256(seen.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    links = [value for _, key, value in seen.attrs if key in ("src", "href", "xlink:href", "srcset", "action")]
    assert links
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"url\(['\"]?(?!#)", page)
    assert "@import" not in page


def test_figures_and_tables_are_labelled(page):
    seen = Page(page)
    images = [value for tag, key, value in seen.attrs if tag == "div" and (key, value) == ("role", "img")]
    labels = [v for tag, key, v in seen.attrs if tag == "div" and key == "aria-label" and v]
    # accuracy-calibration, pass@k, by task, reliability, votes, curves; the decision panel draws its own
    assert len(images) == seen.tags.count("svg") - 1 == seen.tags.count("figcaption") == 6
    assert len(labels) >= 5
    heads = [v for tag, key, v in seen.attrs if (tag, key) == ("th", "scope")]
    assert len(heads) == seen.tags.count("th") > 0
    assert seen.tags.count("caption") == seen.tags.count("table")


def test_hostile_names_in_evaluations_and_settings_are_text_in_figures_too(tmp_path):
    evil = "<script>alert(2)</script> $x_$ & \x1b"
    problems = [
        {"id": f"p{i}", "task": evil, "gold": "4", "samples": [sample(i % 2 == 0, answer=evil)]} for i in range(12)
    ]
    record = evaluation(problems, spec=evil, model=evil, answer_format=evil)
    runs = [write_run(tmp_path / n, before=record, after=record, advantage=evil) for n in ("a$_", "_b$")]
    found = summarise(runs)
    figures = draw(found)
    across = next(f.svg for f in figures if f.kind == "accuracy-calibration")
    assert ">a$_<" in across
    assert "_b$<" in across
    assert visible("$x_$ &amp; \x1b<") in next(f.svg for f in figures if f.kind == "by-task")
    seen = Page(to_html(found, figures))
    assert len(seen.scripts) == 1
    assert "".join(seen.text).count("<script>alert(2)</script>") >= 4
    text = to_markdown(found, figures)
    assert "<script" not in text.replace(r"\<script", "")
    assert "\x1b" not in text + eval_table(record)


def test_same_directories_give_the_same_bytes(run, page, summary, drawings, tmp_path):
    write_report([run], tmp_path)  # reads, computes and draws anew
    first = {str(p.relative_to(tmp_path)): p.read_text("utf-8") for p in tmp_path.rglob("*") if p.is_file()}
    assert first["report.html"] == page
    assert first["report.md"] == to_markdown(summary, drawings)
    assert all(first[f"plots/{drawing.file}"] == drawing.svg for drawing in drawings)
    assert sorted(name for name in first if name.startswith("plots/")) == [
        "plots/accuracy-calibration-arithmetic.svg",
        f"plots/by-task-{run.name}-arithmetic.svg",
        f"plots/curves-{run.name}.svg",
        f"plots/pass-at-k-{run.name}-arithmetic.svg",
        f"plots/reliability-{run.name}-arithmetic.svg",
        f"plots/votes-{run.name}-arithmetic.svg",
    ]


# ---------------------------------------------------------------------- Markdown


def test_markdown_begins_with_title_and_headline_table(summary, drawings):
    text = to_markdown(summary, drawings)
    head, *sections = text.split("\n## ")
    assert head.startswith("# rlvr report\n")
    assert re.search(r"^\| pass@1 +\| 0\.\d{3} \[", head, re.MULTILINE)
    assert [s.split("\n")[0] for s in sections] == [
        "Results",
        "Training",
        "Settings",
        "How to read this",
        "Limits",
    ]
    for name in re.findall(r"\]\((plots/[^)]*)\)", text):
        assert re.fullmatch(r"plots/[\w.-]+\.svg", name)
    tables = re.findall(r"(?:^\|.*\|$\n)+", text, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_markdown_escapes_untrusted_text():
    assert escape("a|b") == r"a\|b"
    assert escape("one\n\n## two\r\nthree") == r"one \#\# two⟨U+000D⟩ three"
    assert escape("`x` <b> [a](javascript:0) ![i](u)") == r"\`x\` \<b\> \[a](javascript:0) !\[i](u)"
    assert escape("[1](evil) [0.1, +0.2] [3]: evil") == r"\[1](evil) [0.1, +0.2] \[3]: evil"
    assert escape("drop_near _em_ **b** ~~s~~ &lt; $x$") == r"drop_near \_em\_ \*\*b\*\* \~\~s\~\~ \&lt; \$x\$"
    lines = markdown_table(Table(("a", "b"), [("x|y\nz", "`")])).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1


def test_visible_keeps_letters_of_every_script():
    assert visible("naïve 数学 مرحبا 🙂\n\t") == "naïve 数学 مرحبا 🙂\n\t"
    assert visible("\ud800\u2028\x00") == "⟨U+D800⟩⟨U+2028⟩⟨U+0000⟩"


def test_surrogates_from_an_evaluation_do_not_break_writing(tmp_path):
    record = counted_evaluation([[True]], spec="\ud800")
    run = write_run(tmp_path / "run")
    path = run / "eval" / "after" / "arithmetic.json"
    save_eval(counted_evaluation([[True]]), path)
    path.write_text(json.dumps(record))  # escaped in the file, a lone surrogate once read
    assert "⟨U+D800⟩" in write_report([run], tmp_path / "out").read_text(encoding="utf-8")


def test_numbers_in_the_report_are_those_of_the_records(summary):
    record = drawn_evaluation(2, 0.12, 0.8)
    rates = [problem["c"] / problem["n"] for problem in record["problems"]]
    assert summary["runs"][0]["sets"]["arithmetic"]["after"]["pass@1"].value == pytest.approx(np.mean(rates))
