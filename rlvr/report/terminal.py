"""Show evaluations as tables in the terminal: one, or a steered model at several alphas."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlvr.measure.metrics import summarise_eval
from rlvr.report import tables
from rlvr.report.measured import summarise_sides
from rlvr.report.show import visible
from rlvr.report.tables import Table
from rlvr.report.words import against_constant


def eval_table(
    evaluation: Mapping[str, Any], against: Mapping[str, Any] | None = None, confidence: str = "stated"
) -> str:
    """Return what one evaluation says, as plain text: metrics and tasks, each with interval and n.

    `against` is an earlier evaluation of the same problems: the tables then show both, and the paired difference.
    `confidence` says whose confidence is judged, one of `CONFIDENCES`.
    Raises DataError as `summarise_eval` does.

    >>> sample = {"answer": "4", "tokens": 9, "logp": -1.0, "format_ok": True, "truncated": False,
    ...           "correct": True, "confidence": 0.5}
    >>> problem = {"id": "a", "task": "t", "gold": "4", "samples": [sample]}
    >>> print(eval_table({"set": "demo", "problems": [problem]}))
    demo: 1 problems, 1 samples, of which 1 have a verdict and a confidence
    ...
    """
    measured = summarise_sides(
        {"after": evaluation} if against is None else {"before": against, "after": evaluation}, confidence
    )
    numbers = measured["after"]
    name = evaluation.get("spec") or evaluation.get("set") or "evaluation"
    head = f"{name}: {numbers['problems']} problems, "
    if evaluation.get("exact"):
        head += "the chance of each computed from the logits, "
    head += f"{numbers['samples']} samples, of which {numbers['pairs']} have a verdict and a confidence"
    lines = [head, *measured["notes"], ""]
    table, tasks = tables.metrics(measured), tables.by_task(measured)
    if against is None:
        table = Table(("metric", "estimate [95% interval]", "problems"), table.rows)
        tasks = Table(("task", "pass@1 [95% interval]", "problems"), tasks.rows)
    lines += [*text_table(table), "", *text_table(tasks), ""]
    if numbers["pairs"]:
        clause = against_constant(numbers)
        lines.append(f"{clause[0].upper()}{clause[1:]}.")
    return "\n".join(visible(line).rstrip() for line in lines)


def sweep_table(evaluations: Sequence[Mapping[str, Any]], confidence: str = "stated") -> str:
    """Return what the evaluations of one steered model say, a row for each alpha; `confidence` as in `eval_table`.

    >>> sample = {"answer": "4", "tokens": 9, "logp": -1.0, "format_ok": True, "truncated": False,
    ...           "correct": True, "confidence": 0.5}
    >>> evaluation = {"proxy": {"alpha": 0.5}, "problems": [{"id": "a", "task": "t", "gold": "4", "samples": [sample]}]}
    >>> print(sweep_table([evaluation]))
    alpha  pass@1 ...
    0.5    1.000 ...
    """
    names = {"pass@1": "pass@1", "format_rate": "format", "ece": "ECE", "brier": "Brier", "tokens": "tokens"}
    rows = []
    for evaluation in evaluations:
        summary = summarise_eval(evaluation, confidence=confidence)
        rows.append((f"{evaluation['proxy']['alpha']:g}", *(str(summary[name]) for name in names)))
    return "\n".join(line.rstrip() for line in text_table(Table(("alpha", *names.values()), rows)))


def text_table(table: Table) -> list[str]:
    """Return a table as lines with aligned columns.

    >>> text_table(Table(("task", "pass@1"), [("a", "0.5")]))
    ['task  pass@1', '────  ──────', 'a     0.5   ']
    """
    widths = [max(len(cell) for cell in column) for column in zip(table.headers, *table.rows, strict=True)]
    rows = [table.headers, tuple("─" * width for width in widths), *table.rows]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def accuracy_curve(metrics: Sequence[Mapping[str, Any]], width: int = 40) -> str:
    """Return the training accuracy as one line of blocks, from the lowest to the highest; "" where none was logged.

    Each block is the mean of equally many steps, up to one more; the numbers are the means of the first and the last.

    >>> accuracy_curve([{"accuracy": 0.1}, {"accuracy": 0.2}, {"accuracy": 0.4}, {"accuracy": 0.45}])
    'training accuracy over 4 steps: 10% ▁▃▇█ 45%'
    """
    logged = [row["accuracy"] for row in metrics if isinstance(row.get("accuracy"), int | float)]
    values = [value for value in logged if math.isfinite(value)]
    if not values:
        return ""
    means = [float(part.mean()) for part in np.array_split(values, min(width, len(values)))]
    return f"training accuracy over {len(values)} steps: {means[0]:.0%} {blocks(means)} {means[-1]:.0%}"


def blocks(values: Sequence[float]) -> str:
    """Return finite values as blocks of eight heights, from the lowest to the highest.

    >>> blocks([0.0, 0.5, 1.0]), blocks([0.3, 0.3])
    ('▁▅█', '▁▁')
    """
    low, high = min(values), max(values)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (value - low) / (high - low))] if high > low else "▁" for value in values)
