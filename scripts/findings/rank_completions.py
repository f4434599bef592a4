"""Finding: does a ranker fitted on position-biased choices pick more right completions than a vote? (RecSys 2019)

    python scripts/findings/rank_completions.py            redraw from the committed results
    python scripts/findings/rank_completions.py --rerun    run what is missing: pilots and gates, then 8 runs

Best of n over the completions of a trained model, on the operators testbed. The criterion is in
pages/rank_completions.md; it was committed before the first pilot. Runs: parts/completion_runs.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.completion_runs import (
    FILLER,
    LISTS,
    OLD_NOISE,
    PILOT_WORLDS,
    PLEASES,
    TEST,
    UPDATES,
    WORLDS,
    N,
    after,
    pilot,
    train_world,
)  # fmt: skip

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import look, new_figure, styled

STORE = REPO / "docs" / "findings" / "rank_completions"
PILOTS, ROWS = STORE / "pilots.jsonl", STORE / "runs.jsonl"
WAYS = ("random", "most confident", "majority", "naive", "tower", "pal", "told", "any")

Row = Mapping[str, Any]


def gates() -> list[Gate]:
    """Run the pilots; return what must hold before a run is judged."""
    for world in PILOT_WORLDS:
        train_world(PILOTS, world, [world], pilot, jobs=2)
    rows = read_rows(PILOTS)
    right = {way: float(np.mean([row["right"][way] for row in rows])) for way in WAYS}
    position, length = (float(np.mean([row[name] for row in rows])) for name in ("position_by_length", "auroc_length"))
    return [
        Gate("right by a random pick", right["random"], 0.15, 0.6),
        Gate(f"some completion of {N} is right, minus majority vote", right["any"] - right["majority"], low=0.05),
        Gate("told the verdicts, minus majority vote", right["told"] - right["majority"], low=0.01),
        Gate("told the verdicts, minus a random pick", right["told"] - right["random"], low=0.05),
        Gate("rank correlation of length and position in the log", position, high=-0.5),
        Gate("AUROC of length for being right", length, 0.4, 0.6),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing, world by world."""
    for world, seeds in WORLDS.items():
        train_world(ROWS, world, seeds, after, options.jobs)


def load() -> dict[str, NDArray[np.float64]]:
    """Return way to choose -> share of right choices, seed by seed; FileNotFoundError while a run is missing."""
    stored = {(row["world"], row["seed"]): row for row in read_rows(ROWS)}
    order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
    if missing := set(order) - stored.keys():
        raise FileNotFoundError(f"{len(missing)} of {len(order)} runs are missing in {ROWS}")
    return {way: np.array([stored[key]["right"][way] for key in order]) for way in WAYS}


def endpoints(right: Mapping[str, NDArray[np.float64]]) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""

    def gap(a: str, b: str) -> Sequence[float]:
        return list(right[a] - right[b])

    return Endpoint("1. tower - naive", gap("tower", "naive")), [
        Endpoint("2. tower - majority vote", gap("tower", "majority")),
        Endpoint("3. tower - random pick", gap("tower", "random")),
        Endpoint("4. tower - told the verdicts", gap("tower", "told"), above=-0.02),
        Endpoint("5. tower - PAL", gap("tower", "pal"), above=-0.01),
    ]


@styled
def figure(right: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the share of right choices of each way to choose, each seed a dot."""
    fig = new_figure(2.6)
    axis = fig.subplots()
    for i, way in enumerate(WAYS):
        colour, marker = look(i % 2)
        axis.plot(right[way], [i] * len(right[way]), marker, color=colour, markersize=3, alpha=0.6)
        axis.plot(right[way].mean(), i, "|", color=colour, markersize=12)
    axis.set_yticks(range(len(WAYS)), WAYS)
    axis.invert_yaxis()
    axis.set(xlabel=f"problems whose chosen completion, one of {N}, is right")
    return fig


def page(right: Mapping[str, NDArray[np.float64]]) -> Page:
    """Return what the results say."""
    primary, others = endpoints(right)
    points = judge(primary, others)
    held = [bool(point.held) for point in points]
    sd, seeds = float(np.std(primary.values_S, ddof=1)), len(primary.values_S)
    levels = [
        (way, str(t_interval(right[way], 0.95)[0]), signed(t_interval(right[way] - right["majority"], 0.95)[0]))
        for way in WAYS
    ]
    claims = {
        "more right answers than the naive ranker": held[0],
        "more than majority vote": held[1],
        "more than a random pick": held[2],
        "near what verdicts would teach": held[3],
        "no worse than the model that fits these users": held[4],
    }
    values = {
        "sd": sd, "sees": detectable(sd, seeds), "levels": table(("chosen by", "right", "minus majority vote"), levels)
    }  # fmt: skip
    return Page(points, claims, {"ways.svg": figure(right)}, values)


SETTINGS = {
    "n": N, "lists": LISTS, "test": TEST, "filler": FILLER, "updates": UPDATES, "noise": OLD_NOISE,
    "right": PLEASES[True], "wrong": PLEASES[False],
}  # fmt: skip
FINDING = Finding("rank_completions", load, page, rerun, gates, SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
