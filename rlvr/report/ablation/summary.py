"""Summarise the runs of an ablation: each arm over its seeds, and its difference to the baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import DataError
from rlvr.measure.metrics import Interval, brier
from rlvr.measure.metrics.arrays import EvalArrays
from rlvr.measure.metrics.ece import ece
from rlvr.measure.metrics.seeds import holm, interquartile_mean, seed_calibration_tests, seed_difference
from rlvr.planning.ablation.arms import UNTRAINED, Ablation
from rlvr.planning.ablation.folder import evaluated, run_folder
from rlvr.report.training import trained_seconds
from rlvr.runs.directory import RunDir, read_metrics

COSTS = ("updates", "rollout_tokens", "seconds")


def summarise_ablation(ablation: Ablation, folder: Path) -> dict[str, Any]:
    """Return arms (values over seeds, cost), differences to the baseline (also `by_seed`), and what is missing.

    Every number is the one that the report of the run gives (docs/metrics.md): pass@1 is a mean over problems, ECE and
    Brier are over the samples that state a confidence. Only finished runs count, and only seeds that both arms have
    are compared. Several evaluation sets are pooled problem by problem.
    """
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for run in ablation.runs:
        path = run_folder(run, folder)
        if measured := _measured(evaluated(path, "after")):
            by_arm.setdefault(run.arm, {})[run.seed] = measured | {"cost": _cost(path)}
        is_base = ablation.untrained and run.arm == ablation.baseline
        if is_base and (measured := _measured(evaluated(path, "before"))):
            by_arm.setdefault(UNTRAINED, {})[run.seed] = measured | {"cost": dict.fromkeys(COSTS, 0.0)}
    arms = {arm: _arm(by_arm[arm]) for arm in (*ablation.arms, UNTRAINED) if arm in by_arm}
    base = by_arm.get(ablation.baseline, {})
    differences: dict[str, dict[str, Interval]] = {}
    by_seed: dict[str, dict[str, list[float]]] = {}
    p_values: dict[str, float] = {}
    for arm in arms:
        shared = sorted(set(by_arm[arm]) & set(base))
        if arm == ablation.baseline or not shared:
            continue
        for seed in shared:
            if by_arm[arm][seed]["ids"] != base[seed]["ids"]:
                raise DataError(f"{arm} and {ablation.baseline} were measured on different problems (seed {seed}).")
        ours, theirs = ([side[seed]["arrays"] for seed in shared] for side in (by_arm[arm], base))
        ours_SP, theirs_SP = (np.stack([r.rate_P for r in side]) for side in (ours, theirs))
        tests = {"pass@1": seed_difference(ours_SP, theirs_SP), **seed_calibration_tests(ours, theirs)}
        differences[arm] = {name: tests[name][0] for name in ("pass@1", "brier", "ece")}
        by_seed[arm] = {name: [by_arm[arm][s][name] - base[s][name] for s in shared] for name in differences[arm]}
        p_values |= {f"{arm} {name}": tests[name][1] for name in ("pass@1", "brier")}  # ECE: an interval only
    return {
        "baseline": ablation.baseline, "arms": arms, "differences": differences, "by_seed": by_seed,
        "p": p_values, "p_holm": holm(p_values),
        "missing": [run.name for run in ablation.runs if run.seed not in by_arm.get(run.arm, {})],
    }  # fmt: skip


def _measured(evals: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """Return the evaluations of a run together: problem ids, samples as arrays, and values; None without any."""
    if not evals:
        return None
    for evaluation in evals:
        evaluation["problems"].sort(key=lambda problem: problem["id"])  # paired by place
    problems = [problem for evaluation in evals for problem in evaluation["problems"]]
    arrays = EvalArrays.of({"problems": problems})
    confidence, correct, _ = arrays.pairs()
    return {
        "pass@1": float(_mean(arrays.rate_P)),
        "ece": float(ece(confidence, correct)) if len(correct) else np.nan,
        "brier": float(brier(confidence, correct)),
        "confidence_missing": float(np.isnan(arrays.confidence_S).mean()) if len(arrays.problem_S) else np.nan,
        "arrays": arrays,
        "ids": [problem["id"] for problem in problems],
    }


def _arm(seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    values = {name: [s[name] for s in seeds.values()] for name in ("pass@1", "ece", "brier", "confidence_missing")}
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
    rows = read_metrics(RunDir(path).metrics)
    last = rows[-1] if rows else {}
    values = (last.get("step", 0), last.get("num_tokens", 0), trained_seconds(rows))
    return dict(zip(COSTS, values, strict=True))
