"""Finding: does the utility of an answer belong in its reward, or after training? (2511.07699), on the operators

    python scripts/findings/utility_testbed.py            redraw from the committed results
    python scripts/findings/utility_testbed.py --rerun    run what is missing: pilots and gates, then 16 runs

The criterion is in pages/utility_testbed.md; it was committed before the first pilot. Runs: parts/utility_rl.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, Point, detectable, judge, read_rows, run_tasks, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import utility_rl as runs
from parts.testbed_runs import at_rate
from parts.utility_rl import ARMS, PRICES, UPDATES, WORLDS

from rlvr.measure.plots.style import GREY, look, new_figure, styled

STORE = REPO / "docs" / "findings" / "utility_testbed"
PILOTS, BASES, ROWS = STORE / "pilots.jsonl", STORE / "pilot_bases.jsonl", STORE / "runs.jsonl"
RATES = (3e-5, 1e-4, 3e-4)
PILOT_WORLDS = (920, 921)
CHOSEN_BY = f"utility {PRICES[0]:g}"
MEASURES = (
    "pass@1", "forced", "silent", "oracle", "auroc", "as it acts",
    *(f"{what} {price:g}" for price in PRICES for what in ("utility", "coverage")),
)  # fmt: skip
VOID = {"oracle": (0.2, np.inf), f"coverage {PRICES[0]:g}": (0.1, 0.9), "auroc": (0.7, np.inf)}  # of the honest arm

Row = Mapping[str, Any]


def rates(pilots: Sequence[Row]) -> dict[str, float]:
    """Return each arm's learning rate: the highest utility at the trained price, mean over pilots; ties to the lowest.

    A tie is a difference of at most 0.01. For both arms it is the utility after recalibration, which is what is judged.
    """
    means = {
        (arm, rate): np.mean([row[CHOSEN_BY] for row in pilots if row["arm"] == at_rate(arm, rate)])
        for arm in ARMS
        for rate in RATES
    }
    best = {arm: max(means[arm, rate] for rate in RATES) for arm in ARMS}
    return {arm: min(rate for rate in RATES if means[arm, rate] >= best[arm] - 0.01) for arm in ARMS}


def with_rate(arm: str, rate: float) -> dict[str, Any]:
    """Return an arm's settings with a learning rate."""
    return {**ARMS[arm], "set": {**ARMS[arm]["set"], "learning_rate": rate}}


def gates() -> list[Gate]:
    """Run the pilots; return what must hold of the base and of the honest arm before an arm is run."""
    for world in PILOT_WORLDS:
        arms = {at_rate(arm, rate): with_rate(arm, rate) for arm in ARMS for rate in RATES}
        runs.train_arms(PILOTS, world, arms, [world], runs.pilot, jobs=2)
    bases = run_tasks(BASES, [{"world": world} for world in PILOT_WORLDS], runs.measure_base)
    pilots = read_rows(PILOTS)
    honest = [row for row in pilots if row["arm"] == at_rate("honest", rates(pilots)["honest"])]

    def mean(rows: Sequence[Row], name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    mixed = float(np.mean([row["train_groups/mixed"][:10] for row in honest]))
    return [
        Gate("base: utility of answering where it pays, by the chances themselves", mean(bases, "oracle"), high=0.05),
        Gate("base: forced pass@1", mean(bases, "forced"), 0.03, 0.3),
        Gate("base: chance of abstaining", mean(bases, "silent"), 0.1, 0.3),
        Gate("honest: mixed groups of 16, first ten updates", mixed, low=0.5),
        Gate("honest: gain in forced pass@1", mean(honest, "forced") - mean(bases, "forced"), low=0.15),
        Gate("honest: utility of answering where it pays, by the chances", mean(honest, "oracle"), *VOID["oracle"]),
        Gate("honest: share answered, recalibrated", mean(honest, f"coverage {PRICES[0]:g}"), 0.1, 0.9),
        Gate("honest: AUROC of E[q]", mean(honest, "auroc"), low=0.7),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing, world by world."""
    rate = rates(read_rows(PILOTS))
    for world, seeds in WORLDS.items():
        runs.train_arms(ROWS, world, {arm: with_rate(arm, rate[arm]) for arm in ARMS}, seeds, runs.after, options.jobs)


class Runs:
    """Hold the stored runs; every measure is a number per seed."""

    def __init__(self, rows: Sequence[Row]):
        self.order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
        self._rows = {(row["arm"], row["world"], row["seed"]): row for row in rows}
        wanted = {(arm, *key) for arm in ARMS for key in self.order}
        if missing := wanted - self._rows.keys():
            raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {ROWS}")

    def of(self, arm: str, name: str) -> NDArray[np.float64]:
        """Return a measure of an arm."""
        return np.array([self._rows[arm, world, seed][name] for world, seed in self.order], float)

    def gap(self, name: str, of_utility: str = "") -> list[float]:
        """Return honest minus utility, paired by seed; of the utility arm another measure, if one is named."""
        return list(self.of("honest", name) - self.of("utility", of_utility or name))


def endpoints(found: Runs) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    trained, *others = (f"utility {price:g}" for price in PRICES)
    return (
        Endpoint("1. utility at -1, both recalibrated: honest minus utility", found.gap(trained)),
        [
            Endpoint("2. forced-answer pass@1: honest minus utility", found.gap("forced")),
            Endpoint("3. utility at -2, both recalibrated", found.gap(others[0])),
            Endpoint("4. utility at -5, both recalibrated", found.gap(others[1])),
            Endpoint(
                "5. utility at -1: honest recalibrated minus utility as it acts", found.gap(trained, "as it acts")
            ),
        ],
    )


def void(found: Runs) -> list[str]:
    """Return what makes the test void: a measure of the honest arm, mean over seeds, outside its range."""
    means = {name: float(found.of("honest", name).mean()) for name in VOID}
    return [f"{name} is {means[name]:.3f}" for name, (low, high) in VOID.items() if not low <= means[name] <= high]


@styled
def figure(found: Runs) -> Figure:
    """Draw utility at each price and forced pass@1, each seed a dot."""
    fig = new_figure(2.6)
    names = [*(f"utility {price:g}" for price in PRICES), "forced"]
    for ax, name in zip(fig.subplots(1, len(names)), names, strict=True):
        for i, arm in enumerate(ARMS):
            values, (colour, marker) = found.of(arm, name), look(i)
            ax.plot([i] * len(values), values, marker, color=colour, markersize=3, alpha=0.6)
            ax.plot(i, values.mean(), "_", color=colour, markersize=14)
        ax.axhline(0, color=GREY, linewidth=1)
        ax.set_xticks(range(len(ARMS)), list(ARMS))
        ax.set(title="forced pass@1" if name == "forced" else name, xlim=(-0.5, len(ARMS) - 0.5))
    return fig


def load() -> tuple[Runs, list[Row]]:
    """Return runs and pilots; FileNotFoundError while a run is missing."""
    return Runs(read_rows(ROWS)), read_rows(PILOTS)


def page(results: tuple[Runs, list[Row]]) -> Page:
    """Return what the results say; nothing is held where the test is void."""
    found, pilots = results
    primary, others = endpoints(found)
    points, broken = judge(primary, others), void(found)
    if broken:
        points = [Point(point.claim, point.numbers, "void") for point in points]
    chosen = rates(pilots)
    grid = [
        (
            arm,
            *(f"{np.mean([r[CHOSEN_BY] for r in pilots if r['arm'] == at_rate(arm, q)]):.3f}" for q in RATES),
            f"{chosen[arm]:g}",
        )
        for arm in ARMS
    ]
    sd = float(np.std(primary.values_S, ddof=1))
    values = {
        "sd": sd, "sees": detectable(sd, len(found.order)),
        "void": f"Void: {'; '.join(broken)} (honest arm, mean over seeds)." if broken else "It is not void.",
        "levels": table(("arm", *MEASURES), [(a, *(f"{found.of(a, n).mean():.3f}" for n in MEASURES)) for a in ARMS]),
        "grid": table(("arm", *(f"{q:g}" for q in RATES), "taken"), grid),
        "minutes": sum(found.of(arm, "train_seconds").sum() for arm in ARMS) / 60,
    }  # fmt: skip
    claims: dict[str, bool | str] = {
        "utility after training earns more of it": points[0].held,
        "more is learned": points[1].held,
        "at prices that were not trained for": bool(points[2].held and points[3].held),
        "more than acting as trained": points[4].held,
    }
    if broken:
        claims = {"": "not testable here"}
    return Page(points, claims, {"seeds.svg": figure(found)}, values)


FINDING = Finding(
    "utility_testbed", load, page, rerun, gates,
    {"updates": UPDATES, "rates": ", ".join(f"{q:g}" for q in RATES), "chosen_by": CHOSEN_BY},
)  # fmt: skip

if __name__ == "__main__":
    FINDING.main(__doc__)
