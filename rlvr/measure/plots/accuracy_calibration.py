"""Accuracy against calibration: did training move the model up, to the right, or both?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlvr.measure.metrics.bootstrap import Interval
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, say_no_data, styled, unit_axis


@styled
def plot_accuracy_calibration(
    runs: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]], title: str = ""
) -> Figure:
    """Draw accuracy (pass@1) against 1 - ECE, one arrow per run from its base (hollow) to its trained model.

    Takes label -> (summary before, summary after) as `summarise_eval` returns them. Bars are the intervals;
    that of ECE is corrected for bias and may lie to the right of its point. Up is more often right, right is
    better calibrated.

    >>> from rlvr.measure.metrics import Interval
    >>> side = {"pass@1": Interval(0.2, 0.1, 0.3, n=9), "ece": Interval(0.3, 0.2, 0.4, n=9)}
    >>> figure = plot_accuracy_calibration({"rlcr": (side, side)})
    """
    fig = new_figure(4.2)
    ax = fig.subplots()
    xs, ys, handles = [], [], []
    for i, (label, sides) in enumerate(runs.items()):
        colour, marker = look(i)
        points = [(_flip(side["ece"]), side["pass@1"]) for side in sides]
        if not np.isfinite([[x.value, y.value] for x, y in points]).all():
            continue
        for (x, y), face in zip(points, ("white", colour), strict=True):
            draw_interval(ax, x.value, y, colour)
            draw_interval(ax, y.value, x, colour, horizontal=True)
            ax.plot(x.value, y.value, marker=marker, markersize=7, color=colour, mfc=face, zorder=3)
            xs += [x.value, x.low, x.high]
            ys += [y.value, y.low, y.high]
        (x0, y0), (x1, y1) = points
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 5, "shrinkB": 5, "lw": 1.6}
        ax.annotate("", (x1.value, y1.value), (x0.value, y0.value), arrowprops=arrow, zorder=4)
        handles.append(Line2D([], [], color=colour, marker=marker, label=label))
    ax.set(title=title, xlabel="1 − ECE  (calibration)", ylabel="accuracy (pass@1)")
    unit_axis(ax.set_xlim, xs)
    unit_axis(ax.set_ylim, ys)
    if not handles:
        say_no_data(ax)
        return fig
    kinds = [
        Line2D([], [], color=GREY, marker="o", markerfacecolor=face, linestyle="", label=kind)
        for kind, face in (("base", "white"), ("trained", GREY))
    ]
    fig.legend(handles=kinds + handles, loc="outside lower center", ncols=4)
    return fig


def _flip(ece: Interval) -> Interval:
    return Interval(1 - ece.value, 1 - ece.high, 1 - ece.low, ece.n)
