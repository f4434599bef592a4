"""Draw the figures of a report from its summary."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from rlvr.measure.plots import (
    figure_svg,
    plot_accuracy_calibration,
    plot_by_task,
    plot_curves,
    plot_pass_at_k,
    plot_reliability,
    plot_validation,
    plot_vote_curve,
)
from rlvr.report.show import visible
from rlvr.runs.directory import slug

SIDES = {"before": "base", "after": "trained"}


class Drawing(NamedTuple):
    """Hold one figure: which run and set it belongs to ("" for all), the file it gets, a caption, and the SVG."""

    run: str
    set: str
    kind: str
    caption: str
    svg: str

    @property
    def file(self) -> str:
        """Return its name under plots/."""
        return "-".join(slug(part) for part in (self.kind, self.run, self.set) if part) + ".svg"


def draw(summary: Mapping[str, Any]) -> list[Drawing]:
    """Return every figure that the summary has numbers for."""
    drawings = [d for run in summary["runs"] for name in run["sets"] for d in _of_set(run, name)]
    for name in dict.fromkeys(name for run in summary["runs"] for name in run["sets"]):
        by_run = {run["name"]: run["sets"][name] for run in summary["runs"] if name in run["sets"]}
        sides = {
            visible(run): (measured["before"], measured["after"])
            for run, measured in by_run.items()
            if "pass@1" in measured["difference"] and measured["before"]["pairs"] and measured["after"]["pairs"]
        }
        if sides:
            drawings.append(
                _drawing("", name, "accuracy-calibration", plot_accuracy_calibration(sides), ACCURACY_CALIBRATION)
            )
    for run in summary["runs"]:
        if run["metrics"]:
            drawings.append(_drawing(run["name"], "", "curves", plot_curves(run["metrics"]), CURVES))
        if points := run["validation"]["points"]:
            figure = plot_validation(points, run["validation"]["kept"])
            drawings.append(_drawing(run["name"], "", "validation", figure, VALIDATION))
    return drawings


ACCURACY_CALIBRATION = (
    "Accuracy against calibration: an arrow from each base (hollow) to what training made of it (filled). "
    "Up is more often right, right is better calibrated; bars are 95% intervals."
)
CURVES = (
    "Training curves: each step faint, a moving average on top. "
    "Groups that are not mixed say nothing about correctness."
)
VALIDATION = (
    "Measured while it trained, on validation problems; bands are 95% intervals of each step alone. "
    "A dotted line marks the step whose model was kept."
)
PASS_AT_K = "pass@k on a log2 axis, before and after training; bands are 95% intervals."
BY_TASK = "pass@1 by task, before and after training; bars are 95% intervals over the problems of the task."
RELIABILITY = "Reliability: accuracy against stated confidence in ten bins, and how many answers each bin holds."
VOTES = "Accuracy of one answer chosen out of n samples, before and after training; bars are 95% intervals."


def _of_set(run: Mapping[str, Any], name: str) -> list[Drawing]:
    measured = run["sets"][name]

    def sides(by_side: Mapping[str, Any]) -> dict[str, Any]:
        return {label: by_side[when] for when, label in SIDES.items() if when in by_side}

    by_task = {
        label: {visible(task): accuracy for task, accuracy in tasks.items()}
        for label, tasks in sides(measured["by_task"]).items()
    }
    figures = [
        ("pass-at-k", plot_pass_at_k(sides(measured)), PASS_AT_K),
        ("by-task", plot_by_task(by_task), BY_TASK),
    ]
    if measured["reliability"]:
        figures.append(("reliability", plot_reliability(sides(measured["reliability"])), RELIABILITY))
    if any(len(curve["majority"]) > 1 for curve in measured["votes"].values()):
        figures.append(("votes", plot_vote_curve(sides(measured["votes"])), VOTES))
    return [_drawing(run["name"], name, kind, figure, caption) for kind, figure, caption in figures]


def _drawing(run: str, name: str, kind: str, figure: Figure, caption: str) -> Drawing:
    return Drawing(run, name, kind, caption, figure_svg(figure))
