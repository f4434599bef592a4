"""Draw a finding's page: the words of pages/NAME.md, with numbers from the results in docs/findings/NAME/."""

import argparse
import json
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from finding.protocol import Gate
from finding.tables import lines, table
from finding.verdict import Point, outcome, spell
from rlvr.core.files import write_whole
from rlvr.measure.plots.style import figure_svg

HERE = Path(__file__).parents[1]  # the folder in which `finding` and `parts` are found
REPO = HERE.parents[1]
RESULTS = "<!-- results -->\n"  # in a template: what comes after it needs results, and is left out where a gate failed


@dataclass(frozen=True)
class Page:
    """Hold what the results say: the points of the criterion, the claims of the verdict, figures, and other values.

    Args:
        points: one for each row of the table `{points}`.
        claims: short names -> held, not held or "not testable here"; see `spell`.
        figures: file name -> figure, stored beside the results.
        values: what else the template names in braces.
        summary: the criterion's outcome as a whole, `{summary}`; by default from all points that held or did not.
        held: how many points held, `{held}`.
    """

    points: Sequence[Point]
    claims: Mapping[str, bool | str]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    held: int | None = None


class Finding:
    """Redraw a finding's page from its stored results, or run what is missing first.

    Args:
        name: of the template pages/NAME.md, the folder docs/findings/NAME/ of results and the page beside it.
        load: reads the results; FileNotFoundError while there are none.
        page: what the results say.
        rerun: fills the folder with results; takes the command line's options, of which `jobs` counts.
        gates: measures what must hold before an arm is run; where one fails, `rerun` is not called and the page says
            "not testable here". Kept in gates.json, so that they are measured once.
        settings: values of the template that need no results.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Any],
        page: Callable[[Any], Page],
        rerun: Callable[[argparse.Namespace], None],
        gates: Callable[[], Sequence[Gate]] | None = None,
        settings: Mapping[str, Any] | None = None,
        repo: Path = REPO,
    ):
        self.name, self._load, self._page, self._rerun = name, load, page, rerun
        self._gates, self._settings = gates, dict(settings or {})
        self.repo, self.store = repo, repo / "docs" / "findings" / name
        self.template = repo / "scripts" / "findings" / "pages" / f"{name}.md"

    def main(self, doc: str | None, argv: Sequence[str] | None = None) -> None:
        """Read the command line; with --rerun run what is missing; then redraw."""
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--rerun", action="store_true", help="run what is missing first")
        parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
        options = parser.parse_args(argv)
        os.chdir(self.repo)  # problem sets are named relative to it, and so are the warm-ups in the cache
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])  # for its processes
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of those: results must not depend on the number of cores
        if options.rerun:
            self.rerun(options)
        self.redraw()

    def rerun(self, options: argparse.Namespace) -> None:
        """Measure the gates, once; run the arms if all are passed."""
        if self._gates and not self._gate_file.is_file():
            measured = json.dumps([gate._asdict() for gate in self._gates()], indent=1)
            write_whole(self._gate_file, measured + "\n")
        if failed := self.failed_gates():
            print(f"No arm is run: {'; '.join(gate.what for gate in failed)}")
        else:
            self._rerun(options)

    @property
    def _gate_file(self) -> Path:
        return self.store / "gates.json"

    def measured_gates(self) -> list[Gate]:
        """Return the gates that were measured; none where the finding has none."""
        return [Gate(**gate) for gate in json.loads(self._gate_file.read_text())] if self._gate_file.is_file() else []

    def failed_gates(self) -> list[Gate]:
        """Return the gates that were measured and not passed."""
        return [gate for gate in self.measured_gates() if not gate.passed]

    def redraw(self) -> None:
        """Write the page and its figures; say so where there are no results."""
        text, page_file = self.template.read_text(encoding="utf-8"), self.store.with_suffix(".md")
        settings = {**self._settings, "gates": self._gate_table()}
        if failed := self.failed_gates():
            reason = "; ".join(f"{gate.what} is {gate.value:.3g}, asked {gate.asked}" for gate in failed)
            values = {**settings, "verdict": verdict_line({"": "not testable here"})}
            text = text.partition(RESULTS)[0]
            text = text.replace("{verdict}\n", "{verdict}\nWhat was wrong with the design: " + reason + ".\n", 1)
            said = "not testable here"
        else:
            try:
                results = self._load()
            except FileNotFoundError as error:
                print(f"{self.name}: no page without results ({error}). Run with --rerun.")
                return
            page = self._page(results)
            for file, figure in page.figures.items():
                write_whole(self.store / file, figure_svg(figure))
            held = [bool(point.held) for point in page.points if not isinstance(point.held, str)]
            said = page.summary or outcome(held)
            values = {
                **settings, "verdict": verdict_line(page.claims), "summary": said,
                "held": sum(held) if page.held is None else page.held,
                "points": lines((p.claim, p.numbers, p.word) for p in page.points), **page.values,
            }  # fmt: skip
        write_whole(page_file, fill(text.replace(RESULTS, ""), values))
        print(f"{page_file.relative_to(self.repo)}: {said}")

    def _gate_table(self) -> str:
        rows = [(g.what, f"{g.value:.3g}", g.asked, "yes" if g.passed else "no") for g in self.measured_gates()]
        return table(("gate", "measured", "asked", "passed"), rows) if rows else ""


def verdict_line(claims: Mapping[str, bool | str]) -> str:
    """Return the line that a page opens with.

    >>> verdict_line({"the sums": True})
    '**Verdict: held.**'
    """
    return f"**Verdict: {spell(claims)}.**"


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Return a template with its {names} filled in, and the paragraph below the verdict wrapped again.

    Braces are those of `str.format`, so {rate:g} works and a brace of its own is doubled. Comments of the template,
    <!-- ... --> on lines of their own at its top, are left out.
    """
    text = re.sub(r"\A(<!--.*?-->\n)+", "", text, flags=re.DOTALL).format(**values)
    before, line, after = re.split(r"^(\*\*Verdict: .*\*\*\n)", text, maxsplit=1, flags=re.MULTILINE)
    note, gap, rest = after.partition("\n\n")
    note = textwrap.fill(" ".join(note.split()), 120, break_long_words=False, break_on_hyphens=False)
    return before + line + note + gap + rest
