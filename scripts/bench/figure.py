"""Draws what the benchmarks wrote: python scripts/bench/figure.py FOLDER (of *.json) -> FOLDER/performance.svg."""

import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlvr.measure.plots.style import GREY, figure_svg, look, new_figure, say_no_data, styled


def log_ticks(ax: Axes, sizes: list[int]) -> None:
    """A log2 axis that names the sizes themselves."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()


def draw_steps(ax: Axes, found: Mapping[str, Any]) -> None:
    """Seconds of a training step, each arm with its minimum and maximum."""
    arms = list(found["runs"])
    for i, arm in enumerate(arms):
        times = [run["seconds"] for run in found["runs"][arm]]
        ax.barh(i, statistics.median(times), color=look(i)[0], height=0.6)
        ax.hlines(i, min(times), max(times), colors=GREY)
    ax.set_yticks(range(len(arms)), arms)
    ax.invert_yaxis()
    ax.set(title="A training step", xlabel="seconds")


def draw_sampling(ax: Axes, found: Mapping[str, Any]) -> None:
    """Useful tokens per second over the number of sequences."""
    sizes = sorted(map(int, found["tokens_per_second"]))
    for i, arm in enumerate(found["tokens_per_second"][str(sizes[0])]):
        middle = [statistics.median(found["tokens_per_second"][str(n)][arm]) for n in sizes]
        ax.plot(sizes, middle, color=look(i)[0], marker=look(i)[1], markersize=4, label=arm)
    log_ticks(ax, sizes)
    ax.set(title="Sampling", xlabel="sequences", ylabel="useful tokens/s", ylim=(0, None))
    ax.legend()


def draw_growth(axes: tuple[Axes, Axes], found: Mapping[str, Any]) -> None:
    """Prefill over G and sampling over the sequences, each beside what growing in proportion would be."""
    labels = (("prefill", "Prefill of 8 prompts", "G"), ("sampling", "Sampling time", "sequences"))
    for ax, (key, title, unit) in zip(axes, labels, strict=True):
        sizes = [int(n) for n in found[key]]
        times = [statistics.median(values) for values in found[key].values()]
        ax.plot(sizes, times, color=look(0)[0], marker="o", markersize=4, label="measured")
        ax.plot(sizes, [times[0] * n / sizes[0] for n in sizes], color=GREY, linestyle=":", label="in proportion")
        log_ticks(ax, sizes)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
        ax.set(title=title, xlabel=unit, ylabel="seconds")
        ax.legend()


@styled
def draw(folder: Path) -> Figure:
    """Four panels; a benchmark that was not run leaves its panel empty."""
    fig = new_figure(5.2)
    panels = fig.subplots(2, 2).ravel()
    draws = {
        "step": lambda found: draw_steps(panels[0], found),
        "sampling": lambda found: draw_sampling(panels[1], found),
        "growth": lambda found: draw_growth((panels[2], panels[3]), found),
    }
    for name, one in draws.items():
        path = folder / f"{name}.json"
        if path.is_file():
            one(json.loads(path.read_text(encoding="utf-8")))
    for ax in panels:
        if not ax.has_data():
            say_no_data(ax)
    return fig


if __name__ == "__main__":
    target = Path(sys.argv[1]) / "performance.svg"
    target.write_text(figure_svg(draw(target.parent)), encoding="utf-8")
    print(target)
