"""What the runs of an ablation say: each arm over its seeds, and its difference to the baseline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.ablation.plan import UNTRAINED, Ablation
from rlvr.ablation.pool import run_folder
from rlvr.errors import DataError
from rlvr.eval_file import load_eval
from rlvr.metrics import Interval
from rlvr.metrics.ece import ece
from rlvr.metrics.records import Records
from rlvr.metrics.seeds import holm, interquartile_mean, seed_calibration, seed_difference
from rlvr.report.show import interval, number
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table
from rlvr.runs import read_metrics

COSTS = ("updates", "rollout_tokens", "seconds")
METRICS = ("pass@1", "brier")  # one value per seed and problem: differences are paired


def per_problem(record: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return the value of each metric for each problem (P,), NaN where nothing could be judged."""
    rows: dict[str, list[float]] = {name: [] for name in METRICS}
    for problem in record["problems"]:
        judged = [s for s in problem["samples"] if s["correct"] is not None]
        stated = [(s["confidence"] - s["correct"]) ** 2 for s in judged if s["confidence"] is not None]
        rows["pass@1"].append(float(np.mean([s["correct"] for s in judged])) if judged else np.nan)
        rows["brier"].append(float(np.mean(stated)) if stated else np.nan)
    return {name: np.array(values) for name, values in rows.items()}


def summarise_ablation(ablation: Ablation, folder: Path) -> dict[str, Any]:
    """Return arms (values over seeds, cost), differences to the baseline, and what is missing.

    Only seeds that both arms have finished are compared. Several evaluation sets are pooled problem by problem.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for run in ablation.runs:
        path = run_folder(run, folder)
        if measured := _measured(path / "eval" / "after"):
            found.setdefault(run.arm, {})[run.seed] = measured | {"cost": _cost(path)}
        if ablation.untrained and run.arm == ablation.baseline and (measured := _measured(path / "eval" / "before")):
            found.setdefault(UNTRAINED, {})[run.seed] = measured | {"cost": dict.fromkeys(COSTS, 0.0)}
    arms = {arm: _arm(found[arm]) for arm in (*ablation.arms, UNTRAINED) if arm in found}
    base = found.get(ablation.baseline, {})
    differences: dict[str, dict[str, Interval]] = {}
    p_values: dict[str, float] = {}
    for arm in arms:
        shared = sorted(set(found[arm]) & set(base))
        if arm == ablation.baseline or not shared:
            continue
        for seed in shared:
            if found[arm][seed]["ids"] != base[seed]["ids"]:
                raise DataError(f"{arm} and {ablation.baseline} were measured on different problems (seed {seed}).")
        differences[arm] = {}
        for name in METRICS:
            ours, theirs = (np.stack([side[seed]["values"][name] for seed in shared]) for side in (found[arm], base))
            differences[arm][name], p_values[f"{arm} {name}"] = seed_difference(ours, theirs)
        records = [[side[seed]["records"] for seed in shared] for side in (found[arm], base)]
        differences[arm]["ece"] = seed_calibration(records[0], records[1])["ece"]  # an interval, no p-value
    return {
        "baseline": ablation.baseline, "arms": arms, "differences": differences, "p": p_values,
        "p_holm": holm(p_values),
        "missing": [run.name for run in ablation.runs if run.seed not in found.get(run.arm, {})],
    }  # fmt: skip


def _measured(folder: Path) -> dict[str, Any] | None:
    """Return what the evaluations of a folder hold together: values and ids by problem, ECE; None without any."""
    records = [load_eval(file) for file in sorted(folder.glob("*.json"))]
    if not records:
        return None
    for record in records:
        record["problems"].sort(key=lambda problem: problem["id"])  # paired by place
    values = [per_problem(record) for record in records]
    problems = [problem for record in records for problem in record["problems"]]
    pooled = Records.of({"problems": problems})
    confidence, correct, _ = pooled.pairs()
    return {
        "values": {name: np.concatenate([one[name] for one in values]) for name in METRICS},
        "ece": ece(confidence, correct) if len(correct) else np.nan,
        "records": pooled,
        "ids": [problem["id"] for problem in problems],
    }


def _arm(seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    values = {name: [_mean(s["values"][name]) for s in seeds.values()] for name in METRICS}
    values["ece"] = [float(s["ece"]) for s in seeds.values()]
    return {
        "seeds": len(seeds),
        "values": values,
        "mean": {k: float(np.mean(v)) for k, v in values.items()},
        "iqm": {k: interquartile_mean(v) for k, v in values.items()},
        "cost": {key: float(np.mean([s["cost"][key] for s in seeds.values()])) for key in COSTS},
    }


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _cost(path: Path) -> dict[str, float]:
    rows = read_metrics(path / "metrics.jsonl")
    last = rows[-1] if rows else {}
    values = (last.get("step", 0), last.get("num_tokens", 0), last.get("seconds", 0.0))
    return dict(zip(COSTS, values, strict=True))


def tables(summary: Mapping[str, Any]) -> tuple[Table, Table]:
    """Return the table of arms and the table of differences."""
    arms = [
        (
            name, str(arm["seeds"]),
            *(f"{number(arm['mean'][k])} ({number(arm['iqm'][k])})" for k in ("pass@1", "ece", "brier")),
            f"{arm['cost']['updates']:.0f}", f"{arm['cost']['rollout_tokens']:.0f}", f"{arm['cost']['seconds']:.0f}",
        )
        for name, arm in summary["arms"].items()
    ]  # fmt: skip
    rows = []
    for arm, found in summary["differences"].items():
        for metric, gap in found.items():
            key = f"{arm} {metric}"
            p = [number(summary[kind][key], 4) if key in summary[kind] else "" for kind in ("p", "p_holm")]
            rows.append((arm, metric, interval(gap, signed=True), *p))
    return (
        Table(("arm", "seeds", "pass@1 (IQM)", "ECE (IQM)", "Brier (IQM)", "updates", "tokens seen", "seconds"), arms),
        Table(("arm", "metric", f"difference to {summary['baseline']}", "p", "p, Holm"), rows),
    )


def to_text(summary: Mapping[str, Any], failures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the report of an ablation as Markdown."""
    arms, gaps = tables(summary)
    lines = ["# Ablation", "", *_fenced(arms), "", *_fenced(gaps), ""]
    lines.append(
        f"Means over seeds (interquartile mean in brackets). Differences are paired by problem and seed, with 95% "
        f"intervals over both; ECE is no mean over problems and has an interval only. {len(summary['p'])} comparisons "
        "were made: read the last column, which keeps the chance of any false finding among them below the level."
    )
    if summary["missing"]:
        lines += ["", "Not finished: " + ", ".join(summary["missing"]) + "."]
    for name, tail in failures:
        lines += ["", f"Failed: {name}", "", "```", tail, "```"]
    return "\n".join(lines) + "\n"


def _fenced(table: Table) -> list[str]:
    return ["```", *(line.rstrip() for line in text_table(table)), "```"]
