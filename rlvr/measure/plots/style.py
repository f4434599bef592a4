"""What all figures share: size, colours that colour-blind readers can tell apart, axes, and how they are
saved.
"""

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlvr.measure.metrics.bootstrap import Interval

Params = ParamSpec("Params")

# Okabe and Ito's palette (jfly.uni-koeln.de/color), without its yellow, which is too light on white.
BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
GREY, LIGHT = "#707070", "#D9D9D9"
COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, GREY)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # shape repeats what colour says

WIDTH = 6.4  # inches; at 100 dpi the figure is 640 px wide and its text is 9 to 10 px high
_RC: Any = {
    "figure.dpi": 100,
    "font.family": ["DejaVu Sans", "sans-serif"],  # wide: where it is missing, the fallback is narrower
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # a "$" in a run's name is a dollar
    "svg.fonttype": "none",  # text stays text: small, searchable, read aloud
    "svg.hashsalt": "rlvr",  # the same figure gives the same bytes
}


def styled(plot: Callable[Params, Figure]) -> Callable[Params, Figure]:
    """Run a plot function under rlvr's style, leaving matplotlib's own settings alone."""

    @wraps(plot)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> Figure:
        with matplotlib.rc_context(_RC):
            return plot(*args, **kwargs)

    return run


def look(i: int) -> tuple[str, str]:
    """Return colour and marker of the i-th series; no two of the first 49 look alike.

    >>> look(0), look(7)
    (('#0072B2', 'o'), ('#0072B2', 's'))
    """
    return COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]


def new_figure(height: float) -> Figure:
    """Return an empty figure, 6.4 inches wide and `height` inches high, whose parts keep out of each other's
    way.
    """
    return Figure(figsize=(WIDTH, height), layout="constrained")


def say_no_data(ax: Axes) -> None:
    """Write "no data" where there is nothing to draw, so that an empty panel is not taken for a zero."""
    ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", va="center", color=GREY)
    ax.set_yticks([])


def draw_interval(ax: Axes, at: float, interval: Interval, colour: str, horizontal: bool = False) -> None:
    """Draw an interval as a bar through `at`; it need not hold its value (ECE's may not)."""
    line = ax.hlines if horizontal else ax.vlines
    if np.isfinite([interval.low, interval.high]).all():
        line(at, interval.low, interval.high, colors=colour, linewidth=1.4, alpha=0.7)


def unit_axis(axis_limits: Callable[..., Any], values: Sequence[float] = (0, 1)) -> None:
    """Set an axis to the values and a margin, within [0, 1] and its margin."""
    finite = [value for value in values if np.isfinite(value)] or [0, 1]
    low, high = max(0.0, min(finite)), min(1.0, max(finite))
    margin = max(0.02, 0.06 * (high - low))
    axis_limits(low - margin, high + margin)


def figure_svg(fig: Figure) -> str:
    """Return the figure as an `<svg>` element: deterministic, self-contained, no reference outside itself."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(_RC):
        fig.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # without the XML prolog and its DTD, which names a web address


def figure_png(fig: Figure, dpi: int = 100) -> bytes:
    """Return the figure as a PNG file, 6.4 `dpi` pixels wide."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_RC):
        fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
