"""Finding: does an RL run gain by leaving out problems that its base almost never or almost always solves?

    python scripts/findings/prune_problems.py            redraw from the committed results
    python scripts/findings/prune_problems.py --rerun    run what is missing: pilots and gates, then 24 runs

The claim of 2206.14486, carried to RL: rows are problems, difficulty is the pass rate. The criterion is in
pages/prune_problems.md; it was committed before the first pilot. Runs: parts/prune_runs.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.prune_runs import (
    ARMS,
    FRACTION,
    HARD,
    PILOT_WORLDS,
    POOL,
    PROFILE,
    PROFILE_UPDATES,
    RATE,
    TAIL,
    UPDATES,
    WORLDS,
    after,
    pilot,
    profile_facts,
    train_arms,
)  # fmt: skip

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import look, new_figure, styled

STORE = REPO / "docs" / "findings" / "prune_problems"
PILOTS, PROFILES, ROWS = STORE / "pilots.jsonl", STORE / "profiles.jsonl", STORE / "runs.jsonl"

Row = Mapping[str, Any]


def gates() -> list[Gate]:
    """Run the pilots; return what must hold before an arm is run."""
    facts = run_tasks(PROFILES, [{"world": world} for world in PILOT_WORLDS], profile_facts)
    for world in PILOT_WORLDS:
        train_arms(PILOTS, world, ["all"], [world], pilot, jobs=2)
    rows = read_rows(PILOTS)
    base = {k: float(np.mean([row["along"][f"pass@{k}"][0] for row in rows])) for k in (1, 128)}
    gain = float(np.mean([row["along"]["pass@1"][-1] for row in rows])) - base[1]
    more = np.mean([row["mixed_window"] - row["mixed_all"] for row in facts])
    return [
        Gate("pass@1 of the base", base[1], 0.05, 0.2),
        Gate("pass@128 of the base", base[128], high=0.9),
        Gate(f"gain of all problems in pass@1 in {UPDATES} updates", gain, low=0.3),
        Gate("mixed groups of 16, all problems", float(np.mean([row["mixed_all"] for row in facts])), low=0.5),
        Gate("mixed groups, the window minus all problems, from the logits", float(more), low=0.1),
        Gate(
            f"rank correlation of {PROFILE} samples' pass rate with the chance",
            float(np.mean([row["correlation"] for row in facts])),
            low=0.6,
        ),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing, world by world."""
    for world, seeds in WORLDS.items():
        train_arms(ROWS, world, ARMS, seeds, after, options.jobs)


class Runs:
    """The stored runs, arm by arm, each a number for every seed in one order."""

    def __init__(self, rows: Sequence[Row]):
        order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
        stored = {(row["arm"], row["world"], row["seed"]): row for row in rows}
        wanted = {(arm, *key) for arm in ARMS for key in order}
        if missing := wanted - stored.keys():
            raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {ROWS}")
        self.by_arm = {arm: [stored[arm, *key] for key in order] for arm in ARMS}

    def at(self, arm: str, k: int, update: float = UPDATES) -> NDArray[np.float64]:
        """Return pass@k after an update, linear between checkpoints."""
        rows = self.by_arm[arm]
        return np.array([np.interp(update, row["steps"], row["along"][f"pass@{k}"]) for row in rows])

    def area(self, arm: str) -> NDArray[np.float64]:
        """Return the mean of pass@1 over the run (trapezoids)."""
        rows = self.by_arm[arm]
        return np.array([np.trapezoid(row["along"]["pass@1"], row["steps"]) / row["steps"][-1] for row in rows])

    def hard(self, arm: str) -> NDArray[np.float64]:
        """Return pass@1 at the end on the problems that the base solves least."""
        return np.array([row["hard"][1] for row in self.by_arm[arm]])

    def mixed(self, arm: str) -> float:
        """Return the share of mixed groups over all updates and seeds."""
        return float(np.mean([row["mixed"] for row in self.by_arm[arm]]))


def endpoints(runs: Runs) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""

    def gap(a: str, b: str, k: int = 1) -> list[float]:
        return list(runs.at(a, k) - runs.at(b, k))

    paid = runs.at("window", 1, UPDATES - PROFILE_UPDATES) - runs.at("all", 1)
    return Endpoint("1. pass@1: window - random", gap("window", "random")), [
        Endpoint("2. pass@1: window - all", gap("window", "all")),
        Endpoint("3. pass@1: random - all", gap("random", "all"), above=-0.02),
        Endpoint("4. pass@1, mean over the run: window - random", list(runs.area("window") - runs.area("random"))),
        Endpoint("5. pass@1: window minus the updates its profile cost - all", list(paid)),
        Endpoint("6. pass@128: window - random", gap("window", "random", 128), above=-0.02),
        Endpoint("7. pass@1 on the hardest: window - random", list(runs.hard("window") - runs.hard("random")), -0.02),
    ]


@styled
def figure(runs: Runs) -> Figure:
    """Draw pass@1 and pass@128 along training, means over seeds."""
    fig = new_figure(3.0)
    axes = fig.subplots(1, 2)
    for ax, k in zip(axes, (1, 128), strict=True):
        for i, arm in enumerate(ARMS):
            colour, marker = look(i)
            steps = runs.by_arm[arm][0]["steps"]
            bounds = [t_interval(runs.at(arm, k, step), 0.95)[0] for step in steps]
            ax.plot(steps, [b.value for b in bounds], color=colour, marker=marker, markersize=3, label=arm)
            low, high = [b.low for b in bounds], [b.high for b in bounds]
            ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.set(xlabel="updates of 512 completions", ylabel=f"pass@{k}")
    axes[0].legend()
    return fig


def page(runs: Runs) -> Page:
    """Return what the results say."""
    primary, others = endpoints(runs)
    points = judge(primary, others)
    held = [bool(point.held) for point in points]
    sd, seeds = float(np.std(primary.values_S, ddof=1)), len(primary.values_S)
    levels = [
        (
            arm,
            *(f"{runs.at(arm, k, update).mean():.3f}" for k in (1, 16, 128) for update in (0, UPDATES)),
            f"{runs.hard(arm).mean():.3f}",
            f"{runs.mixed(arm):.2f}",
        )
        for arm in ARMS
    ]
    against = [
        (f"{a} - {b}", *(signed(t_interval(runs.at(a, k) - runs.at(b, k), 0.95)[0]) for k in (1, 16, 128)))
        for a, b in (("window", "random"), ("window", "all"), ("random", "all"))
    ]
    header = ("arm", *(f"pass@{k}, {when}" for k in (1, 16, 128) for when in ("base", "end")), "hardest", "mixed")
    values = {
        "sd": sd, "sees": detectable(sd, seeds), "levels": table(header, levels),
        "gaps": table(("", "pass@1", "pass@16", "pass@128"), against),
        "minutes": sum(row["train_seconds"] for rows in runs.by_arm.values() for row in rows) / 60,
    }  # fmt: skip
    claims = {
        "a window by pass rate beats chance": held[0],
        "it beats all problems": held[1],
        "half of the problems suffice": held[2],
        "it learns faster": held[3],
        "it repays its profile": held[4],
        "it does not narrow": held[5],
        "it does not lose the hardest": held[6],
    }
    return Page(points, claims, {"curves.svg": figure(runs)}, values)


SETTINGS = {
    "updates": UPDATES, "pool": POOL, "samples": PROFILE, "profile_updates": PROFILE_UPDATES, "fraction": FRACTION,
    "tail": TAIL, "easiest": 1 - FRACTION - TAIL, "rate": RATE, "hard": HARD,
}  # fmt: skip
FINDING = Finding("prune_problems", lambda: Runs(read_rows(ROWS)), page, rerun, gates, SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
