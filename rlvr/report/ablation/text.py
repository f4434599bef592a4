"""Show the comparison of an ablation as tables and as Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.report.show import interval, number
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table

FEW_SEEDS = 5  # below this, intervals over seeds are too narrow (`seed_difference`)


def tables(summary: Mapping[str, Any]) -> tuple[Table, Table]:
    """Return the table of arms and the table of differences."""
    arms = [
        (
            name, str(arm["seeds"]),
            *(f"{number(arm['mean'][k])} ({number(arm['iqm'][k])})" for k in ("pass@1", "ece", "brier")),
            _share(arm["mean"]["confidence_missing"]),
            *(_level(arm, k) for k in summary["measured"]),
            f"{arm['cost']['updates']:.0f}", f"{arm['cost']['rollout_tokens']:.0f}", f"{arm['cost']['seconds']:.0f}",
        )
        for name, arm in summary["arms"].items()
    ]  # fmt: skip
    rows = []
    for arm, gaps in summary["differences"].items():
        for metric, gap in gaps.items():
            key = f"{arm} {metric}"
            p = [number(summary[kind][key], 4) if key in summary[kind] else "" for kind in ("p", "p_holm")]
            rows.append((arm, metric, interval(gap, signed=True), *p))
    values = ("pass@1 (IQM)", "ECE (IQM)", "Brier (IQM)", "no confidence", *(f"{k} (IQM)" for k in summary["measured"]))
    return (
        Table(("arm", "seeds", *values, "updates", "tokens seen", "seconds"), arms),
        Table(("arm", "metric", f"difference to {summary['baseline']}", "p", "p, Holm"), rows),
    )


def to_text(summary: Mapping[str, Any], failures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the report of an ablation as Markdown."""
    arms, gaps = tables(summary)
    lines = ["# Ablation", "", *_fenced(arms), "", *_fenced(gaps), ""]
    lines.append(
        "Means over seeds (interquartile mean in brackets). ECE and Brier are over samples that state a confidence: "
        "compare them where the share without one is alike. Differences are paired by problem and seed, with 95% "
        f"intervals over both; ECE is no mean over problems and has an interval only. {len(summary['p'])} comparisons "
        "were made: read the last column, which keeps the chance of any false finding among them below the level."
    )
    if summary["measured"]:
        lines.append(
            f"Measured by a function of the ablation's own: {', '.join(summary['measured'])}. Their differences are "
            "paired by seed, with 95% t intervals over seeds."
        )
    if warning := few_seeds(summary):
        lines.append(warning)
    if summary["missing"]:
        lines += ["", "Not finished: " + ", ".join(summary["missing"]) + ". What they said is in logs/."]
    for name, tail in failures:
        lines += ["", f"Failed: {name}", "", "```", tail, "```"]
    return "\n".join(lines) + "\n"


def few_seeds(summary: Mapping[str, Any]) -> str:
    """Return the warning that the arms have too few seeds for their intervals, or ""."""
    fewest = min((arm["seeds"] for arm in summary["arms"].values()), default=FEW_SEEDS)
    if fewest >= FEW_SEEDS:
        return ""
    return f"With {fewest} seed{'s' * (fewest > 1)} the intervals are too narrow: use at least {FEW_SEEDS}."


def _level(arm: Mapping[str, Any], name: str) -> str:
    """Return a measured number's mean with its interquartile mean, or "n/a" for an arm without it."""
    return f"{number(arm['mean'][name])} ({number(arm['iqm'][name])})" if name in arm["mean"] else "n/a"


def _share(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.0%}"


def _fenced(table: Table) -> list[str]:
    return ["```", *(line.rstrip() for line in text_table(table)), "```"]
