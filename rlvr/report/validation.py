"""Show what a run measured while it trained: a curve on validation problems, and which step's model was kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.measure.metrics import summarise_eval
from rlvr.report.read import read_run
from rlvr.report.show import interval
from rlvr.report.tables import Table
from rlvr.report.terminal import blocks

CURVE = ("pass@1", "brier", "ece")


def validation(steps: Mapping[int, Mapping[str, Any]], best: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the numbers of a run's evaluations while it trained.

    Args:
        steps: optimizer step -> evaluation (`read_run`).
        best: what best.json says, where `keep_best` chose a step.

    Returns:
        `points`: {"step": ..., metric: Interval} for each evaluation of the same problems as the newest one, in
        order; `kept`: the step whose model the run has, or None; `text`: one paragraph, "" where nothing was measured.
    """
    if not steps:
        return {"points": [], "kept": None, "text": ""}
    newest = steps[max(steps)]
    alike = {step: steps[step] for step in sorted(steps) if _asked(steps[step]) == _asked(newest)}
    points: list[dict[str, Any]] = [{"step": step, **summarise_eval(evaluation)} for step, evaluation in alike.items()]
    kept = None if best is None else int(best["step"])
    problems = f"{len(newest['problems'])} problems of the {newest.get('split', 'validation')} split"
    text = f"While it trained, the model was measured {len(points)} times on {problems}, {newest['n']} samples each."
    if len(alike) < len(steps):
        text += f" {len(steps) - len(alike)} evaluations of other problems or samples are left out."
    if kept is not None:
        score = next((f", {interval(point['pass@1'])}" for point in points if point["step"] == kept), "")
        start = "No step was better than the start (step 0), so the" if kept == 0 else "The"
        text += (
            f" {start} run's model is that of step {kept}, the best pass@1 of these{score}. The best of several "
            "measurements looks better than it is; the evaluation after training is of this model, on other problems."
        )
    return {"points": points, "kept": kept, "text": text}


def validation_table(run: Mapping[str, Any]) -> Table:
    """Return one row for each evaluation while training: step, pass@1, Brier and ECE with their intervals."""
    measured = run["validation"]
    rows = []
    for point in measured["points"]:
        step = f"{point['step']} (kept)" if point["step"] == measured["kept"] else str(point["step"])
        rows.append((step, *(interval(point.get(name)) for name in CURVE)))
    return Table(("step", "validation pass@1", "Brier", "ECE"), rows)


def validation_frame(run: Path) -> pd.DataFrame:
    """Return a row for each step that a run directory was measured at: pass@1, Brier, ECE, each with its interval."""
    contents = read_run(run)
    points = validation(contents["steps"], contents["best"])["points"]
    ends = {"": "value", " low": "low", " high": "high"}
    rows = [
        {"step": point["step"]}
        | {name + end: getattr(point[name], part) for name in CURVE if name in point for end, part in ends.items()}
        for point in points
    ]
    return pd.DataFrame(rows).set_index("step") if rows else pd.DataFrame()


def validation_curve(run: Path) -> str:
    """Return validation pass@1 over a run's measured steps as one line of blocks; "" where nothing was measured."""
    frame = validation_frame(run)
    known = frame["pass@1"].dropna() if "pass@1" in frame else frame
    if not len(known):
        return ""
    first, last = known.iloc[0], known.iloc[-1]
    head = f"validation pass@1 from step {known.index[0]} to {known.index[-1]}"
    return f"{head}: {first:.0%} {blocks(list(known))} {last:.0%}"


def _asked(evaluation: Mapping[str, Any]) -> tuple[Any, ...]:
    sampling = tuple(evaluation.get(key) for key in ("n", "temperature", "seed", "exact"))
    return (*sampling, tuple(problem["id"] for problem in evaluation["problems"]))
