"""Summarise the runs of an ablation: each arm over its seeds, and its difference to the baseline."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import DataError
from rlvr.measure.metrics import Interval, brier
from rlvr.measure.metrics.arrays import EvalArrays
from rlvr.measure.metrics.ece import ece
from rlvr.measure.metrics.seeds import (
    holm,
    interquartile_mean,
    seed_calibration_tests,
    seed_difference,
    t_interval,
)
from rlvr.planning.ablation.arms import UNTRAINED, Ablation
from rlvr.planning.ablation.folder import evaluated, finished, run_folder
from rlvr.planning.ablation.measure import numbers, read_measured
from rlvr.report.training import trained_seconds
from rlvr.runs.directory import RunDir, read_metrics

COSTS = ("updates", "rollout_tokens", "seconds")


def summarise_ablation(ablation: Ablation, folder: Path) -> dict[str, Any]:
    """Return arms (values over seeds, cost), differences to the baseline (also `by_seed`), and what is missing.

    Every number is the one that the report of the run gives (docs/metrics.md): pass@1 is a mean over problems, ECE and
    Brier are over the samples that state a confidence. Only finished runs count, and only seeds that both arms have
    are compared. Several evaluation sets are pooled problem by problem. What `measure` returned is compared seed by
    seed, with t intervals over seeds.
    """
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for run in ablation.runs:
        path = run_folder(run, folder)
        if measured := _measured(evaluated(path, "after"), path):
            more = {"cost": _cost(path), "measured": numbers(read_measured(run, folder))}
            by_arm.setdefault(run.arm, {})[run.seed] = measured | more
        is_base = ablation.untrained and run.arm == ablation.baseline
        if is_base and (measured := _measured(evaluated(path, "before"))):
            by_arm.setdefault(UNTRAINED, {})[run.seed] = measured | {"cost": dict.fromkeys(COSTS, 0.0), "measured": {}}
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
        tests = _tests(*([side[seed].get("arrays") for seed in shared] for side in (by_arm[arm], base)))
        differences[arm] = {name: interval for name, (interval, _) in tests.items()}
        by_seed[arm] = {name: [by_arm[arm][s][name] - base[s][name] for s in shared] for name in tests}
        p_values |= {f"{arm} {name}": p for name, (_, p) in tests.items() if name != "ece"}  # ECE: an interval only
        for name in _measured_names([side[seed] for seed in shared for side in (by_arm[arm], base)]):
            gaps = [by_arm[arm][seed]["measured"][name] - base[seed]["measured"][name] for seed in shared]
            by_seed[arm][name] = gaps
            differences[arm][name], p = t_interval(gaps)
            p_values |= {} if np.isnan(p) else {f"{arm} {name}": p}  # one seed, or no value: nothing is tested
    return {
        "baseline": ablation.baseline, "arms": arms, "measured": _measured_names(base.values()),
        "differences": differences, "by_seed": by_seed,
        "p": p_values, "p_holm": holm(p_values),
        "missing": [run.name for run in ablation.runs if run.seed not in by_arm.get(run.arm, {})],
    }  # fmt: skip


def _tests(ours: list[EvalArrays | None], theirs: list[EvalArrays | None]) -> dict[str, tuple[Interval, float]]:
    """Return the differences in what the runs' own evaluations measured, with p-values; empty where they made none."""
    sides = [[arrays for arrays in side if arrays is not None] for side in (ours, theirs)]
    if not all(len(side) == len(ours) for side in sides):
        return {}
    ours_SP, theirs_SP = (np.stack([r.rate_P for r in side]) for side in sides)
    calibration = seed_calibration_tests(sides[0], sides[1])
    return {"pass@1": seed_difference(ours_SP, theirs_SP), "brier": calibration["brier"], "ece": calibration["ece"]}


def _measured(evals: list[dict[str, Any]] | None, path: Path | None = None) -> dict[str, Any] | None:
    """Return the evaluations of a run together: problem ids, samples as arrays, and values; None without any.

    A run that was trained to its end and makes none (eval_size 0) has what `measure` says, and no values of these.
    """
    if not evals:
        return {"ids": []} if evals is not None and path is not None and finished(path) else None
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


def _measured_names(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the numbers that every one of these runs was measured by, in order."""
    names = [list(run["measured"]) for run in runs]
    return [name for name in (names[0] if names else []) if all(name in other for other in names)]


def _arm(seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    values = {
        name: [s.get(name, np.nan) for s in seeds.values()] for name in ("pass@1", "ece", "brier", "confidence_missing")
    }
    values |= {name: [s["measured"][name] for s in seeds.values()] for name in _measured_names(seeds.values())}
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
