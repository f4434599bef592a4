"""pass@1 by task: which levels did training lift, and which did it leave?"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rlvr.measure.metrics.bootstrap import Interval
from rlvr.measure.plots.style import draw_interval, look, new_figure, say_no_data, styled


@styled
def plot_by_task(by_label: Mapping[str, Mapping[str, Interval]], title: str = "") -> Figure:
    """Draw pass@1 with its interval for each task, one marker per label ("base", "trained").

    Takes label -> what `pass_at_1_by_task` returned. Tasks keep their order, from the top.

    >>> from rlvr.measure.metrics import Interval
    >>> figure = plot_by_task({"base": {"arithmetic/L0": Interval(0.9, 0.8, 1.0, n=9)}})
    """
    tasks = list(dict.fromkeys(task for accuracies in by_label.values() for task in accuracies))
    fig = new_figure(1.3 + 0.32 * max(2, len(tasks)))
    ax = fig.subplots()
    offsets = np.linspace(-0.15, 0.15, len(by_label)) if len(by_label) > 1 else [0.0]
    for i, (label, accuracies) in enumerate(by_label.items()):
        colour, marker = look(i)
        rows = [tasks.index(task) + offsets[i] for task in accuracies]
        for row, interval in zip(rows, accuracies.values(), strict=True):
            draw_interval(ax, row, interval, colour, horizontal=True)
        values = [interval.value for interval in accuracies.values()]
        ax.plot(values, rows, color=colour, marker=marker, markersize=5, linestyle="", label=label)
    ax.set(title=title, xlabel="pass@1", xlim=(-0.02, 1.02))
    if not tasks:
        ax.set_yticks([])
        say_no_data(ax)
        return fig
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set_ylim(len(tasks) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    fig.legend(loc="outside lower center", ncols=4)
    return fig
