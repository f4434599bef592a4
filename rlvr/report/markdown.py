"""Write the report as Markdown: a headline before the first `## `, then the tables and pointers to the figures."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.report import tables
from rlvr.report.figures import Drawing, draw
from rlvr.report.glossary import GLOSSARY, INTERVALS
from rlvr.report.show import visible
from rlvr.report.tables import Table
from rlvr.report.validation import validation_table

HEADLINE = ("pass@1", "ece", "brier", "brier_constant", "auroc", "format_rate")
# An underscore within a word and an interval such as [0.1, 0.2] mean nothing to Markdown and stay readable.
_SPECIAL = re.compile(r"([\\`*<>|~#$&]|(?<!\w)_|_(?!\w)|\[(?![-+\d., ]+\](?![(\[:])))")


def to_markdown(summary: Mapping[str, Any], drawings: Sequence[Drawing] | None = None) -> str:
    """Return the summary as Markdown: `# rlvr report`, verdicts and one headline table, then sections."""
    drawings = draw(summary) if drawings is None else drawings
    runs = summary["runs"]
    sets = [(run, name, measured) for run in runs for name, measured in run["sets"].items()]
    parts = ["# rlvr report"]
    parts += [
        f"**{'Health' if len(runs) == 1 else 'Health of ' + escape(run['name'])}:** {escape(run['health'])}."
        for run in runs
        if run["health"]
    ]
    for one in summary["verdict"]:
        head = f"**{escape(one['run'])} on {escape(one['set'])}.** " if one["run"] else ""
        parts.append(head + escape(one["text"]))
    parts += [escape(run["signal"]) for run in runs if len(runs) == 1 and run["signal"]]
    parts += [_list([f"{run['name']}: {note}" for note in run["notes"]]) for run in runs if run["notes"]]
    parts.append(
        markdown_table(tables.metrics(sets[0][2], HEADLINE))
        if len(sets) == 1
        else markdown_table(tables.overview(summary))
    )
    parts.append("## Results")
    if len(sets) > 1:
        parts += [markdown_table(table) for table in (tables.between(summary), tables.seeds(summary))]
    parts += [
        _list([f"{row['run']} minus {row['to']}, {row['set']}: {n}" for n in row["notes"]])
        for row in summary["between"]
    ]
    parts += [_image(drawing) for drawing in drawings if drawing.kind == "accuracy-calibration"]
    for run, name, measured in sets:
        parts += [f"### {escape(run['name'])} on {escape(name)}", _list(measured["notes"])]
        parts += [markdown_table(tables.metrics(measured)), markdown_table(tables.by_task(measured))]
        parts += [markdown_table(tables.decisions(measured))]
        parts += [_image(drawing) for drawing in drawings if (drawing.run, drawing.set) == (run["name"], name)]
    parts += ["## Training"] if any(run["trained"] for run in runs) else []
    for run in (run for run in runs if run["trained"]):
        parts += [f"### {escape(run['name'])}", escape(run["signal"] or "No group was recorded.")]
        parts.append(escape(run["about"]))
        parts += [_image(drawing) for drawing in drawings if (drawing.kind, drawing.run) == ("curves", run["name"])]
        parts += [escape(run["validation"]["text"]), markdown_table(validation_table(run))]
        parts += [_image(drawing) for drawing in drawings if (drawing.kind, drawing.run) == ("validation", run["name"])]
        parts += [markdown_table(tables.groups(run)), markdown_table(tables.training(run))]
    parts.append("## Settings")
    if len(runs) > 1 and all(run["trained"] for run in runs):
        parts.append(markdown_table(tables.config_diff(summary)) or "All runs list the same settings.")
    parts += [
        f"{escape(run['folder'])}: `{_code(run['command'] or '(command unknown)')}`" for run in runs if run["trained"]
    ]
    parts += [
        f"{escape(run['folder'])} computed in {escape(run['env']['precision'])}."
        for run in runs
        if run["env"].get("precision")
    ]
    parts += ["## How to read this", escape(INTERVALS)]
    parts.append("\n".join(f"- **{escape(word)}**: {escape(meaning)}" for word, meaning in GLOSSARY.items()))
    parts += ["## Limits", _list(summary["limits"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Return untrusted text as one line that Markdown and HTML show as it is.

    >>> escape("a|b `c`\\n<script>")
    'a\\\\|b \\\\`c\\\\` \\\\<script\\\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(visible(text).split()))


def markdown_table(table: Table) -> str:
    """Return a table in Markdown, its columns padded so that it reads well in a terminal; "" without rows.

    >>> print(markdown_table(Table(("run", "pass@1"), [("demo", "0.5")])))
    | run  | pass@1 |
    | ---- | ------ |
    | demo | 0.5    |
    """
    if not table.rows:
        return ""
    cells = [[escape(cell) for cell in row] for row in (table.headers, *table.rows)]
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"| {line} |" for line in lines)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {escape(item)}" for item in items)


def _image(drawing: Drawing) -> str:
    return f"![{escape(drawing.caption)}](plots/{drawing.file})"


def _code(text: str) -> str:
    """Return one line that can stand between backticks."""
    return " ".join(visible(text).split()).replace("`", "'")
