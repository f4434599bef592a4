"""One figure per file: pure functions from data to a matplotlib Figure, without pyplot's global state."""

from rlvr.measure.plots.accuracy_calibration import plot_accuracy_calibration
from rlvr.measure.plots.by_task import plot_by_task
from rlvr.measure.plots.curves import plot_curves
from rlvr.measure.plots.forest import plot_forest
from rlvr.measure.plots.pass_at_k import plot_pass_at_k
from rlvr.measure.plots.reliability import plot_reliability
from rlvr.measure.plots.risk_coverage import plot_risk_coverage
from rlvr.measure.plots.score_kept import plot_score_kept
from rlvr.measure.plots.style import figure_png, figure_svg
from rlvr.measure.plots.validation import plot_validation
from rlvr.measure.plots.vote_curve import plot_vote_curve

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
    "plot_validation",
    "plot_vote_curve",
]
