"""The reliability diagram: is the model right as often as it says, and what does it say?"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rlvr.measure.metrics.ece import ReliabilityTable
from rlvr.measure.plots.style import GREY, look, new_figure, say_no_data, styled


@styled
def plot_reliability(tables: Mapping[str, ReliabilityTable], title: str = "") -> Figure:
    """Draw accuracy against mean confidence per bin with intervals, above how often each bin is used.

    Takes label -> what `reliability_table` returned. On the dashed diagonal confidence is calibrated; below
    it the model claims too much. The histogram shows the share of pairs per bin.

    >>> from rlvr.measure.metrics import reliability_table
    >>> figure = plot_reliability({"base": reliability_table([0.2, 0.9], [0, 1])})
    """
    fig = new_figure(5.0)
    top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for i, (label, table) in enumerate(tables.items()):
        colour, marker = look(i)
        used, total = table.n > 0, int(table.n.sum())
        if not total:
            continue
        x, name = table.confidence[used], f"{label} ({total:,} pairs)"
        top.vlines(x, table.low[used], table.high[used], colors=colour, alpha=0.45, linewidth=1.4)
        top.plot(x, table.accuracy[used], color=colour, marker=marker, markersize=4, label=name)
        edges = np.append(table.left, table.right[-1])
        bottom.stairs(table.n / total, edges, color=colour, fill=True, alpha=0.2)
        bottom.stairs(table.n / total, edges, color=colour, linewidth=1.4)
    top.set(title=title, ylabel="accuracy", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    bottom.set(xlabel="confidence", ylabel="share of pairs")
    if top.get_legend_handles_labels()[0]:
        top.legend(loc="upper left")
    else:
        say_no_data(top)
    return fig
