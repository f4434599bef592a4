"""Accuracy against the number of samples that are voted over."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from rlvr.measure.metrics.bootstrap import Interval
from rlvr.measure.metrics.vote_curve import RULES
from rlvr.measure.plots.style import look, new_figure, say_no_data, styled


@styled
def plot_vote_curve(curves: Mapping[str, Mapping[str, Mapping[int, Interval]]], title: str = "") -> Figure:
    """Draw accuracy against n on a log2 axis: one panel per label ("base", "trained"), one line per rule.

    Takes label -> what `vote_curve` returned. Bars are 95% intervals over problems, moved apart where they
    would hide each other; all rules rest on the same problems, so look at paired differences to compare.

    >>> from rlvr.measure.metrics import Interval
    >>> figure = plot_vote_curve({"base": {"majority": {1: Interval(0.4, 0.3, 0.5, 9)}}})
    """
    fig = new_figure(3.2)
    axes = fig.subplots(1, max(1, len(curves)), sharey=True, squeeze=False)[0]
    fig.suptitle(title, fontsize=10)
    for ax, (label, curve) in zip(axes, curves.items(), strict=False):
        for i, rule in enumerate(rule for rule in RULES if rule in curve):
            colour, marker = look(i)
            ns, accuracies = list(curve[rule]), list(curve[rule].values())
            shifted = [n * 1.05 ** (i - 1) for n in ns]
            ax.vlines(
                shifted,
                [f.low for f in accuracies],
                [f.high for f in accuracies],
                colors=colour,
                alpha=0.45,
                linewidth=1.4,
            )
            ax.plot(shifted, [f.value for f in accuracies], color=colour, marker=marker, markersize=4, label=rule)
        ns = sorted({n for rule in curve.values() for n in rule})
        ax.set(title=label, xlabel="n, samples per problem")
        if not ns:
            say_no_data(ax)
            continue
        ax.set_xscale("log", base=2)
        ax.set_xticks(ns, [str(n) for n in ns])
        ax.minorticks_off()
    axes[0].set_ylabel("accuracy of the chosen answer")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        fig.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    if not curves:
        say_no_data(axes[0])
    return fig
