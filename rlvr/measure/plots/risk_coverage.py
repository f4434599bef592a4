"""Risk against coverage: how wrong is the model when it answers only what it is most confident about?"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rlvr.measure.plots.style import look, new_figure, say_no_data, styled


@styled
def plot_risk_coverage(
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], title: str = ""
) -> Figure:
    """Draw the error rate among answered samples against the share answered, most confident first.

    Takes label -> what `risk_coverage` returned. The dotted line is the error rate at full coverage: what a
    confidence that knows nothing would give at every coverage.

    >>> from rlvr.measure.metrics import risk_coverage
    >>> figure = plot_risk_coverage({"base": risk_coverage([0.9, 0.5], [1, 0])})
    """
    fig = new_figure(3.4)
    ax = fig.subplots()
    for i, (label, (coverage, risk)) in enumerate(curves.items()):
        colour, _ = look(i)
        if not len(risk):
            continue
        ax.axhline(risk[-1], color=colour, linestyle=":", linewidth=1)
        marker = "o" if len(risk) == 1 else None
        ax.plot(coverage, risk, color=colour, marker=marker, label=f"{label} (AURC {np.mean(risk):.3f})")
    ax.set(title=title, xlabel="coverage (share answered)", ylabel="risk (share of those wrong)")
    ax.set(xlim=(0, 1.01), ylim=(-0.02, 1.02))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")
    else:
        say_no_data(ax)
    return fig
