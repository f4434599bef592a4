"""The differences of several arms to one baseline, one row for each arm."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rlvr.measure.metrics.bootstrap import Interval
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, say_no_data, styled


@styled
def plot_forest(
    gaps: Mapping[str, Interval], seeds: Mapping[str, Sequence[float]], label: str, note: str = ""
) -> Figure:
    """Draw each arm's difference with its interval, and the difference in each seed as a small dot.

    Args:
        gaps: arm -> its difference to the baseline.
        seeds: arm -> the same difference, seed by seed.
        label: of the axis, e.g. "pass@1 minus grpo".
        note: a line above the rows, e.g. that the seeds are few.

    >>> figure = plot_forest({"rlcr": Interval(0.1, 0.0, 0.2, 9)}, {"rlcr": [0.05, 0.15]}, "pass@1 minus grpo")
    """
    fig = new_figure(1.1 + 0.45 * max(1, len(gaps)))
    ax = fig.subplots()
    ax.set_title(note, color=GREY, fontweight="normal")
    ax.set_xlabel(label)
    if not gaps:
        say_no_data(ax)
        return fig
    ax.axvline(0, color=GREY, linewidth=1)
    for i, (arm, gap) in enumerate(gaps.items()):
        colour, marker = look(i)
        finite = [value for value in seeds.get(arm, ()) if np.isfinite(value)]
        ax.plot(finite, [i + 0.22] * len(finite), ".", color=colour, alpha=0.6, markersize=5)
        draw_interval(ax, i, gap, colour, horizontal=True)
        ax.plot([gap.value], [i], marker=marker, color=colour, markersize=6)
    ax.set_yticks(range(len(gaps)), list(gaps))
    ax.set_ylim(len(gaps) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    return fig
