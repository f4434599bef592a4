"""Validation curves: pass@1, Brier and ECE of the evaluations that a run made while it trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlvr.measure.metrics.bootstrap import Interval
from rlvr.measure.plots.style import look, new_figure, say_no_data, styled

PANELS = {"pass@1": "pass@1", "brier": "Brier", "ece": "ECE, 10 bins"}


@styled
def plot_validation(points: Sequence[Mapping[str, Any]], kept: int | None = None, title: str = "") -> Figure:
    """Draw pass@1, Brier and ECE over the measured steps, with interval bands; `kept` marks a step.

    Takes {"step": ..., metric: Interval} for each evaluation. A band is that of its step alone: two steps measured on
    the same problems differ more surely than their bands suggest.

    >>> from rlvr.measure.metrics import Interval
    >>> figure = plot_validation([{"step": 0, "pass@1": Interval(0.2, 0.1, 0.3, n=9)}])
    """
    fig = new_figure(2.6)
    fig.suptitle(title, fontsize=10)
    for i, (ax, (name, label)) in enumerate(zip(fig.subplots(1, 3), PANELS.items(), strict=True)):
        _panel(ax, points, name, look(i)[0])
        ax.set(title=label, xlabel="step")
        if kept is not None:
            ax.axvline(kept, color="black", linewidth=0.8, linestyle=":")
        ax.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    return fig


def _panel(ax: Axes, points: Sequence[Mapping[str, Any]], name: str, colour: str) -> None:
    curve: dict[int, Interval] = {
        point["step"]: point[name] for point in points if name in point and np.isfinite(point[name].value)
    }
    if not curve:
        say_no_data(ax)
        return
    steps, estimates = list(curve), list(curve.values())
    low, high = [e.low for e in estimates], [e.high for e in estimates]
    ax.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(steps, [e.value for e in estimates], color=colour, marker="o", markersize=3)
