"""Score against kept: which difficulties a pruning rule keeps, and which it drops."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rlvr.measure.plots.style import BLUE, LIGHT, ORANGE, new_figure, say_no_data, styled


@styled
def plot_score_kept(scores: ArrayLike, reasons: Sequence[str], name: str = "difficulty", title: str = "") -> Figure:
    """Draw a histogram of the scores, each bar split into kept by the rule, kept at random, and dropped.

    >>> figure = plot_score_kept([0.1, 0.4, 0.9], ["dropped: too easy", "kept: random share", "kept: hard"])
    """
    fig = new_figure(3.0)
    ax = fig.subplots()
    scores_R = np.asarray(scores, dtype=float)
    at_random = np.array([reason == "kept: random share" for reason in reasons], dtype=bool)
    kept = np.array([reason.startswith("kept") for reason in reasons], dtype=bool)
    parts = {"kept by the rule": (kept & ~at_random, BLUE), "kept at random": (at_random, ORANGE)}
    parts["dropped"] = (~kept, LIGHT)
    shown = {
        f"{label} ({mask.sum()})": (scores_R[mask], colour) for label, (mask, colour) in parts.items() if mask.any()
    }
    ax.set(title=title, xlabel=f"{name} (higher is harder)", ylabel="rows")
    if not shown:
        say_no_data(ax)
        return fig
    bins = np.histogram_bin_edges(scores_R, bins=min(30, max(5, len(scores_R) // 4)))
    values, colours = zip(*shown.values(), strict=True)
    ax.hist(list(values), bins=list(bins), stacked=True, color=list(colours), label=list(shown), edgecolor="white")
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3)
    return fig
