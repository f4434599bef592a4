"""One figure per file: pure functions from data to a matplotlib Figure, without pyplot's global state."""

from rlvr.plots.accuracy_calibration import plot_accuracy_calibration
from rlvr.plots.by_task import plot_by_task
from rlvr.plots.curves import plot_curves
from rlvr.plots.forest import plot_forest
from rlvr.plots.pass_at_k import plot_pass_at_k
from rlvr.plots.reliability import plot_reliability
from rlvr.plots.risk_coverage import plot_risk_coverage
from rlvr.plots.score_kept import plot_score_kept
from rlvr.plots.style import figure_png, figure_svg
from rlvr.plots.vote_curve import plot_vote_curve

__all__ = [
    "figure_png",
    "figure_svg",
    "plot_accuracy_calibration",
    "plot_by_task",
    "plot_curves",
    "plot_forest",
    "plot_pass_at_k",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_score_kept",
    "plot_vote_curve",
]
