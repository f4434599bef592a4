"""Finding: do problems that only luck solves harm beyond noise, are medium ones best? (2605.28388), on the operators

    python scripts/findings/near_impossible_testbed.py            redraw from the committed results
    python scripts/findings/near_impossible_testbed.py --rerun    run what is missing: pilots and gates, then 72 runs

The criterion is in pages/near_impossible_testbed.md; it was committed before the first pilot. Runs:
parts/near_impossible_runs.py.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, Point, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import near_impossible_runs as runs
from parts.near_impossible_runs import CELLS, UPDATES, arm, coin
from parts.testbed_runs import at_rate, best_rates

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled

STORE = REPO / "docs" / "findings" / "near_impossible_testbed"
RATE_PILOTS, PILOTS = STORE / "rate_pilots.jsonl", STORE / "pilots.jsonl"
ROWS, BASES = STORE / "runs.jsonl", STORE / "bases.jsonl"
RATES = (3e-5, 1e-4, 3e-4)
PILOT_WORLDS = (900, 901)
WORLDS = {201: (1, 2), 202: (3, 4), 203: (5, 6), 204: (7, 8)}  # a base and a table -> the seeds of its runs
SPREAD = 0.02  # over seeds, assumed before anything ran: what effect can be seen
HARD = ("small_hard", "large_hard")
CONTROLS = {"control_small": "small_hard", "control_large": "large_hard"}
NAMES = (*HARD, *CONTROLS, "small_medium", "small_easy", "dr_grpo", "mixture", "filtered")
BEHAVIOUR = ("right", "lucky", "form", "skipping", "repetition", "easy_right")

Row = Mapping[str, Any]


def arms(world: int, rate: float, paid: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Return every arm of a world at one learning rate; `paid`: success rates that the controls are paid at."""
    drop = f"grpo, drop_near_impossible(threshold={runs.filter_threshold()})"
    chosen = {
        "small_hard": arm(world, "small", "hard"),
        "large_hard": arm(world, "large", "hard"),
        **{control: coin(world, "hard", paid[of]) for control, of in CONTROLS.items()},
        "small_medium": arm(world, "small", "medium"),
        "small_easy": arm(world, "small", "easy"),
        "dr_grpo": arm(world, "small", "hard", "dr_grpo"),
        "mixture": arm(world, "small", "mixture"),
        "filtered": arm(world, "small", "mixture", advantage=drop, profile_n=runs.PROFILE),
    }
    return {name: at(text, rate) for name, text in chosen.items()}


def at(text: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """Return an arm at a learning rate."""
    return {**text, "set": {**text["set"], "learning_rate": rate}}


def gates() -> list[Gate]:
    """Run the pilots, medium problems first, whose rate all arms get; return what must hold before an arm is run."""
    jobs = min(2, len(os.sched_getaffinity(0)))
    for world in PILOT_WORLDS:
        tried = {at_rate("small_medium", rate): at(arm(world, "small", "medium"), rate) for rate in RATES}
        runs.train("rates", RATE_PILOTS, world, tried, [world], runs.pilot, jobs)
    rate = chosen_rate(read_rows(RATE_PILOTS))
    for world in PILOT_WORLDS:
        hard = {name: at(arm(world, name.partition("_")[0], "hard"), rate) for name in HARD}
        runs.train("pilots", PILOTS, world, hard, [world], runs.pilot, jobs)
    medium = [row for row in read_rows(RATE_PILOTS) if row["arm"] == at_rate("small_medium", rate)]
    small, large = ([row for row in read_rows(PILOTS) if row["arm"] == name] for name in HARD)

    def first(rows: Sequence[Row], name: str) -> float:
        return float(np.mean([row[f"train_{name}"][:10] for row in rows]))

    def base(cell: str) -> float:
        return float(np.mean([row["along"][cell][0] for row in medium]))

    gain, start = (np.mean([row["along"]["all"][i] - row["along"]["all"][0] for row in medium]) for i in (-1, 1))
    return [
        Gate("chance of the base on easy problems", base("easy"), 0.5, 0.9),
        Gate("chance of the base on hard problems", base("hard"), high=0.02),
        Gate("success rate of hard problems, small space, first ten updates", first(small, "reward"), 0.07, 0.15),
        Gate("success rate of hard problems, large space, first ten updates", first(large, "reward"), high=0.02),
        Gate("mixed groups of 16, hard problems, small space", first(small, "groups/mixed"), low=0.5),
        Gate("mixed groups of 16, medium problems", first(medium, "groups/mixed"), low=0.5),
        Gate("cosine of two halves, medium problems", first(medium, "health/gradient_cosine"), low=0.3),
        Gate(f"gain of medium problems in {UPDATES} updates, all held-out problems", float(gain), low=0.1),
        Gate("change of that in the first ten updates", float(start), low=-0.02),
    ]


def chosen_rate(rows: Sequence[Row]) -> float:
    """Return the learning rate of all arms: medium's best on all held-out problems; within 0.01 of it, the lowest."""
    final = [{"arm": row["arm"], "along": {"pass@1": row["along"]["all"]}} for row in rows]
    return best_rates(final, ["small_medium"], RATES)["small_medium"]


def success_rates(rows: Sequence[Row]) -> dict[str, float]:
    """Return at which rate each hard arm was paid in its pilots, the mean over worlds and updates."""
    return {
        name: round(float(np.mean([row["train_reward"] for row in rows if row["arm"] == name])), 4) for name in HARD
    }


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing, world by world."""
    rate, paid = chosen_rate(read_rows(RATE_PILOTS)), success_rates(read_rows(PILOTS))
    run_tasks(BASES, [{"world": world} for world in WORLDS], runs.test_base)
    for world, seeds in WORLDS.items():
        runs.train("runs", ROWS, world, arms(world, rate, paid), seeds, runs.after, options.jobs)


class Runs:
    """The stored runs: a number for every seed, of an arm or of its base."""

    def __init__(self, rows: Sequence[Row], bases: Sequence[Row]):
        self.order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
        stored = {(row["arm"], row["world"], row["seed"]): row for row in rows}
        wanted = [(name, *key) for name in NAMES for key in self.order]
        if missing := [key for key in wanted if key not in stored]:
            raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {ROWS}")
        self.by_arm = {name: [stored[name, *key] for key in self.order] for name in NAMES}
        self.bases = {row["world"]: row for row in bases}

    def chance(self, name: str, cell: str, point: int = -1) -> NDArray[np.float64]:
        """Return the mean chance of the whole working in a cell, seed by seed; point 0 is the base."""
        return np.array([row["along"][cell][point] for row in self.by_arm[name]])

    def last(self, name: str, what: str) -> NDArray[np.float64]:
        """Return a share of the last model's samples, seed by seed; arm "base": of the base."""
        if name == "base":
            return np.array([self.bases[world][what] for world, _ in self.order])
        return np.array([row["last"][what] for row in self.by_arm[name]])

    def paid(self, name: str) -> float:
        """Return at which rate an arm was paid in training, the mean over seeds and updates."""
        return float(np.mean([row["train_reward"] for row in self.by_arm[name]]))


def endpoints(found: Runs) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    easy = {name: found.chance(name, "easy") for name in NAMES}
    every = {name: found.chance(name, "all") for name in NAMES}
    harm = {of: easy[control] - easy[of] for control, of in CONTROLS.items()}
    middle = (every["small_medium"] + every["mixture"]) / 2
    return (
        Endpoint("1. easy problems: random reward minus hard, small space", list(harm["small_hard"])),
        [
            Endpoint("2. easy problems: random reward minus hard, large space", list(harm["large_hard"])),
            Endpoint("3. what 1 has beyond 2", list(harm["small_hard"] - harm["large_hard"])),
            Endpoint("4. all problems: medium minus hard", list(every["small_medium"] - every["small_hard"])),
            Endpoint("5. all problems: medium minus easy", list(every["small_medium"] - every["small_easy"])),
            Endpoint("6. easy problems: Dr. GRPO minus GRPO, hard", list(easy["dr_grpo"] - easy["small_hard"])),
            Endpoint("7. all problems: medium minus the mixture", list(every["small_medium"] - every["mixture"])),
            Endpoint("8. the filtered mixture beyond half of that gap", list(every["filtered"] - middle)),
        ],
    )


def judged(found: Runs) -> list[Point]:
    """Return the points of the criterion; 6 needs the harm of point 1, 8 the gap of point 7."""
    points = judge(*endpoints(found))
    for i, needed in ((5, 0), (7, 6)):
        if not points[needed].held:
            points[i] = points[i]._replace(held="not testable here")
    return points


@styled
def figure(found: Runs) -> Figure:
    """Draw the chance of easy problems and of all along training, mean over seeds."""
    fig = new_figure(3.4)
    axes = fig.subplots(1, 2)
    for ax, cell in zip(axes, ("easy", "all"), strict=True):
        for i, name in enumerate(NAMES):
            colour, marker = look(i + 1)
            steps = found.by_arm[name][0]["steps"]
            means = np.mean([row["along"][cell] for row in found.by_arm[name]], axis=0)
            ax.plot(steps, means, color=colour, marker=marker, markersize=3, label=name)
        ax.axhline(found.chance("small_hard", cell, 0).mean(), color=GREY, linewidth=1, label="base")
        ax.set(title=f"held-out: {cell}", xlabel="update", ylabel="chance of the whole working")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return fig


def load() -> tuple[Runs, list[Row], list[Row]]:
    """Return runs and pilots; FileNotFoundError while a run is missing."""
    return Runs(read_rows(ROWS), read_rows(BASES)), read_rows(RATE_PILOTS), read_rows(PILOTS)


def page(results: tuple[Runs, list[Row], list[Row]]) -> Page:
    """Return what the results say."""
    found, rate_pilots, pilots = results
    points = judged(found)
    primary = np.array(endpoints(found)[0].values_S)
    sd, seeds = float(np.std(primary, ddof=1)), len(found.order)
    changes = [
        (
            name,
            f"{found.paid(name):.3f}",
            *(signed(t_interval(found.chance(name, c) - found.chance(name, c, 0), 0.95)[0]) for c in CELLS),
        )
        for name in NAMES
    ]
    levels = [(name, *(f"{found.last(name, what).mean():.3f}" for what in BEHAVIOUR)) for name in ("base", *NAMES)]
    grid = [
        f"{np.mean([row['along']['all'][-1] for row in rate_pilots if row['arm'] == at_rate('small_medium', q)]):.3f}"
        for q in RATES
    ]
    sampled = np.mean([found.last(name, "right") - found.last(name, "lucky") for name in NAMES])
    values = {
        "sd": sd, "sees": detectable(sd, seeds), "rate": f"{chosen_rate(rate_pilots):g}",
        "paid": success_rates(pilots), "changes": table(("arm", "paid", *CELLS), changes),
        "levels": table(("arm", *BEHAVIOUR), levels), "grid": table([f"{q:g}" for q in RATES], [grid]),
        "base": table(CELLS, [[f"{found.chance('small_hard', c, 0).mean():.3f}" for c in CELLS]]),
        "exact": np.mean([found.chance(name, "all") for name in NAMES]), "sampled": sampled,
        "minutes": sum(row["train_seconds"] for rows in found.by_arm.values() for row in rows) / 60,
    }  # fmt: skip
    claims: dict[str, bool | str] = {
        "harm beyond noise where luck is paid": points[0].held,
        "harm beyond noise where it is not": points[1].held,
        "luck is what harms": points[2].held,
        "medium problems are best": bool(points[3].held and points[4].held),
        "Dr. GRPO harms less": points[5].held,
        "the filter restores": points[7].held,
    }
    return Page(points, claims, {"curves.svg": figure(found)}, values)


SETTINGS = {
    "updates": UPDATES, "rates": ", ".join(f"{q:g}" for q in RATES), "before": detectable(SPREAD, 8),
    "threshold": runs.filter_threshold(), "train": runs.TRAIN,
}  # fmt: skip
FINDING = Finding("near_impossible_testbed", load, page, rerun, gates, SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
