"""Training curves: what went on during a run, step by step, from its metrics.jsonl."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rlvr.measure.plots.style import GREEN, RED, SKY, look, new_figure, say_no_data, styled

Row = Mapping[str, Any]
GROUPS = {
    "groups/all_right": ("all right", GREEN),
    "groups/mixed": ("mixed", SKY),
    "groups/all_wrong": ("all wrong", RED),
}
_DOTS = 60  # longer runs show their raw values as a thin line: dots would make the SVG ten times as large


@styled
def plot_curves(rows: Sequence[Row], title: str = "") -> Figure:
    """Draw the training curves as small multiples: raw values faint, a centred moving average on top.

    Takes the rows of metrics.jsonl. Panels: total reward and each term; accuracy, format rate and confidence;
    groups that are all right, mixed or all wrong (stacked; only mixed ones teach); completions that reach the
    loss, and why the others do not; length; entropy. A key that was never logged leaves its panel saying so.

    >>> figure = plot_curves([{"step": 1, "reward": 0.2}, {"step": 2, "reward": 0.3}])
    """
    names = sorted({name for row in rows for name in row})
    terms = [name for name in names if name.startswith("rewards/") and name.endswith("/mean")]
    dropped = [name for name in names if name.startswith("dropped/")]
    rates = ("accuracy", "format_rate", "confidence/mean")
    fig = new_figure(7.2)
    axes = fig.subplots(3, 2, sharex=True).flat
    fig.suptitle(title, fontsize=10)
    lines = (
        ("reward", {"reward": "total", **{name: name[len("rewards/") : -len("/mean")] for name in terms}}),
        ("accuracy, format, confidence", dict(zip(rates, ("accuracy", "format", "confidence"), strict=True))),
        None,
        ("share of completions", {"kept": "kept", **{name: name[len("dropped/") :] for name in dropped}}),
        ("mean length (tokens)", {"completions/mean_length": ""}),
        ("entropy (nats per token)", {"entropy": ""}),
    )
    for ax, panel in zip(axes, lines, strict=True):
        if panel is None:
            _groups(ax, rows)
        else:
            _lines(ax, rows, *panel)
    for ax in fig.axes[-2:]:
        ax.set_xlabel("step")
    steps = [row["step"] for row in rows if _finite(row.get("step"))] or [0]
    ax.set_xlim(min(steps) - 0.5, max(steps) + 0.5)
    ax.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    return fig


def series(rows: Sequence[Row], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the steps and finite values of a logged name; rows without it are left out.

    >>> series([{"step": 1, "x": 0.5}, {"step": 2, "x": None}, {"step": 3}], "x")
    (array([1.]), array([0.5]))
    """
    points = [(row["step"], row[name]) for row in rows if _finite(row.get("step")) and _finite(row.get(name))]
    steps, values = np.array(points, dtype=float).reshape(-1, 2).T
    return steps, values


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centred moving average over about a tenth of the values; the window shrinks at both ends.

    >>> smooth(np.arange(4.0))
    array([0., 1., 2., 3.])
    """
    half = len(values) // 20
    total = np.concatenate([[0.0], np.cumsum(values)])
    left = np.maximum(0, np.arange(len(values)) - half)
    right = np.minimum(len(values), np.arange(len(values)) + half + 1)
    return (total[right] - total[left]) / (right - left)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _lines(ax: Axes, rows: Sequence[Row], title: str, names: Mapping[str, str]) -> None:
    drawn = 0
    for i, (name, label) in enumerate(names.items()):
        colour, _ = look(i)
        steps, values = series(rows, name)
        if steps.size:
            dot = "." if steps.size <= _DOTS else None
            ax.plot(steps, values, color=colour, linewidth=0.7, marker=dot, markersize=4, alpha=0.4)
            ax.plot(steps, smooth(values), color=colour, label=label or None)
            drawn += 1
    ax.set_title(title)
    if not drawn:
        say_no_data(ax)
    elif drawn > 1:
        ax.legend(loc="best", fontsize=7, handlelength=1.2)


def _groups(ax: Axes, rows: Sequence[Row]) -> None:
    full = [row for row in rows if all(_finite(row.get(name)) for name in GROUPS)]
    stacks = [series(full, name) for name in GROUPS]
    ax.set_title("groups")
    if not full:
        say_no_data(ax)
        return
    shares = [smooth(values) for _, values in stacks]
    steps = stacks[0][0] if len(full) > 1 else stacks[0][0] + [-0.5, 0.5]  # one step still needs a width
    labels, colours = zip(*GROUPS.values(), strict=True)
    ax.stackplot(steps, [np.broadcast_to(s, steps.shape) for s in shares], labels=labels, colors=colours, alpha=0.75)
    ax.set_ylim(0, 1)
    ax.legend(loc="lower right", bbox_to_anchor=(1.02, 0.96), ncols=3, handlelength=1, columnspacing=0.8)
