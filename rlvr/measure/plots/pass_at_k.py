"""pass@k against k: what the model reaches in one sample, and what more samples would reach."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlvr.measure.plots.style import look, new_figure, say_no_data, styled


@styled
def plot_pass_at_k(summaries: Mapping[str, Mapping[str, Any]], title: str = "") -> Figure:
    """Draw pass@k with interval bands on a log2 axis, one line per label ("base", "trained").

    Takes label -> what `summarise_eval` returned, and draws every finite `pass@k` in it.

    >>> from rlvr.measure.metrics import Interval
    >>> figure = plot_pass_at_k({"base": {"pass@1": Interval(0.2, 0.1, 0.3, n=9)}})
    """
    fig = new_figure(3.4)
    ax = fig.subplots()
    seen: set[int] = set()
    for i, (label, summary) in enumerate(summaries.items()):
        colour, marker = look(i)
        curve = {int(name[5:]): interval for name, interval in summary.items() if name.startswith("pass@")}
        curve = {k: interval for k, interval in sorted(curve.items()) if np.isfinite(interval.value)}
        ks, values = list(curve), [interval.value for interval in curve.values()]
        if not ks:
            continue
        seen |= set(ks)
        low, high = (
            [interval.low for interval in curve.values()],
            [interval.high for interval in curve.values()],
        )
        ax.fill_between(ks, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(ks, values, color=colour, marker=marker, markersize=4, label=label)
    ax.set(title=title, xlabel="k, samples per problem", ylabel="pass@k", ylim=(-0.02, 1.02))
    if not seen:
        say_no_data(ax)
        return fig
    ax.set_xscale("log", base=2)
    ax.set_xlim(min(seen) / 1.2, max(seen) * 1.2)
    ax.set_xticks(sorted(seen), [str(k) for k in sorted(seen)])
    ax.minorticks_off()
    ax.legend(loc="best")
    return fig
