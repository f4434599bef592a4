"""Finding: negative-only credit keeps pass@k, positive-only narrows it? (2506.01347), on the operators testbed

    python scripts/findings/signs.py            redraw from the committed results
    python scripts/findings/signs.py --rerun    run what is missing: pilots and gates, then 40 runs

The criterion is in pages/signs.md; it was committed before the first pilot. Runs: parts/testbed_runs.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.testbed_runs import KS, at_rate, best_rates, matched, measure, train

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled

STORE = REPO / "docs" / "findings" / "signs"
PILOTS, RUNS = STORE / "pilots.jsonl", STORE / "runs.jsonl"
ARMS = {
    "psr": {"recipes": ["psr"]},
    "nsr": {"recipes": ["nsr"]},
    "w_reinforce": {"recipes": ["w_reinforce"]},
    "grpo": {"recipes": ["grpo"]},
    "rloo": {"recipes": ["rloo"]},  # REINFORCE with a baseline: the mean of the others in the group
}
RATES = (3e-5, 1e-4, 3e-4)
UPDATES = 100
PILOT_WORLDS = (900, 901)
WORLDS = {101: (1, 2), 102: (3, 4), 103: (5, 6), 104: (7, 8)}  # a base and a table -> the seeds of its runs
GAINS = (0.15, 0.10, 0.05)
NOISE = "health/gradient_cosine"

Row = Mapping[str, Any]


def pilot(run: Path) -> dict[str, Any]:
    """Measure a pilot, on validation problems."""
    return measure(run, "validation", 1000)


def after(run: Path) -> dict[str, Any]:
    """Measure a run, on test problems."""
    return measure(run, "test", 2000)


def gates() -> list[Gate]:
    """Run the pilots; return what must hold before an arm is run."""
    for world in PILOT_WORLDS:
        arms = {
            at_rate(arm, rate): {**text, "set": {"learning_rate": rate}} for arm, text in ARMS.items() for rate in RATES
        }
        train("signs", PILOTS, world, arms, [world], UPDATES, pilot, jobs=2)
    rows = chosen_pilots(read_rows(PILOTS))
    grpo = rows["grpo"]
    base = {k: np.mean([row["along"][f"pass@{k}"][0] for row in grpo]) for k in (1, 128)}
    gain = np.mean([row["along"]["pass@1"][-1] for row in grpo]) - base[1]
    start = {arm: np.mean([np.subtract(*row["along"]["pass@1"][1::-1]) for row in rows[arm]]) for arm in ARMS}
    mixed, cosine = (np.mean([row[f"train_{k}"][:10] for row in grpo]) for k in ("groups/mixed", NOISE))
    return [
        Gate("pass@1 of the base", float(base[1]), 0.05, 0.2),
        Gate("pass@128 of the base", float(base[128]), high=0.9),
        Gate("mixed groups of 16, GRPO's first ten updates", float(mixed), low=0.5),
        Gate("cosine of the gradients of two halves of a batch, GRPO's first ten updates", float(cosine), low=0.3),
        Gate(f"gain of GRPO in pass@1 in {UPDATES} updates", float(gain), low=0.3),
        Gate("change of pass@1 in the first ten updates, the worst arm", float(min(start.values())), low=-0.02),
    ]


def chosen_pilots(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return each arm's pilots at the learning rate that was chosen on them."""
    rates = best_rates(rows, list(ARMS), RATES)
    return {arm: [row for row in rows if row["arm"] == at_rate(arm, rates[arm])] for arm in ARMS}


def matched_gain(pilots: Mapping[str, Sequence[Row]]) -> float:
    """Return at which gain in pass@1 arms are compared: the largest of GAINS that every chosen pilot reaches."""
    reached = [g for g in GAINS if not any(np.isnan(matched(r, g, 128)) for rows in pilots.values() for r in rows)]
    return reached[0] if reached else GAINS[-1]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing, world by world."""
    rates = best_rates(read_rows(PILOTS), list(ARMS), RATES)
    arms = {arm: {**text, "set": {"learning_rate": rates[arm]}} for arm, text in ARMS.items()}
    for world, seeds in WORLDS.items():
        train("signs", RUNS, world, arms, seeds, UPDATES, after, options.jobs)


class Runs:
    """The stored runs, arm by arm, each a list over the seeds in one order."""

    def __init__(self, rows: Sequence[Row]):
        order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
        stored = {(row["arm"], row["world"], row["seed"]): row for row in rows}
        self.by_arm = {arm: [stored[arm, *key] for key in order] for arm in ARMS}

    def at_end(self, arm: str, k: int) -> NDArray[np.float64]:
        """Return pass@k after the last update, seed by seed."""
        return np.array([row["along"][f"pass@{k}"][-1] for row in self.by_arm[arm]])

    def base(self, k: int) -> NDArray[np.float64]:
        """Return pass@k of each seed's base."""
        return np.array([row["along"][f"pass@{k}"][0] for row in self.by_arm["grpo"]])

    def matched(self, arm: str, gain: float, k: int = 128) -> NDArray[np.float64]:
        """Return pass@k at base + gain in pass@1; a run that never got there counts as it was at its best pass@1."""
        values = []
        for row in self.by_arm[arm]:
            value = matched(row, gain, k)
            best = int(np.argmax(row["along"]["pass@1"]))
            values.append(row["along"][f"pass@{k}"][best] if np.isnan(value) else value)
        return np.array(values)

    def reached(self, arm: str, gain: float) -> int:
        """Return how many seeds reached base + gain."""
        return sum(not np.isnan(matched(row, gain, 128)) for row in self.by_arm[arm])

    def noise(self, arm: str) -> NDArray[np.float64]:
        """Return noise / signal of the gradient of half a batch, (1 - c) / c, from the mean cosine c of ten updates."""
        cosine = np.array([np.mean(row[f"train_{NOISE}"][:10]) for row in self.by_arm[arm]])
        return (1 - cosine) / np.maximum(cosine, 1e-3)


def endpoints(runs: Runs, gain: float) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    at = {arm: runs.matched(arm, gain) for arm in ARMS}
    base, end = {k: runs.base(k) for k in KS}, {arm: {k: runs.at_end(arm, k) for k in KS} for arm in ARMS}
    best = np.max([end[arm][1] for arm in ARMS], axis=0)
    return (
        Endpoint(f"1. at base + {gain:.2f}: pass@128 of NSR minus PSR", list(at["nsr"] - at["psr"])),
        [
            Endpoint(f"2. at base + {gain:.2f}: pass@128 of NSR minus the base", list(at["nsr"] - base[128])),
            Endpoint(f"3. at base + {gain:.2f}: pass@128 of the base minus PSR", list(base[128] - at["psr"])),
            Endpoint(f"4. at base + {gain:.2f}: pass@128 of NSR minus GRPO", list(at["nsr"] - at["grpo"])),
            Endpoint("5. at the end: pass@128 of the base minus PSR", list(base[128] - end["psr"][128])),
            Endpoint(
                "6. at the end: NSR minus the base, the least over all k",
                list(np.min([end["nsr"][k] - base[k] for k in KS], axis=0)),
                above=-0.01,
            ),
            Endpoint(
                "7. at the end: pass@1 of W-REINFORCE minus the best arm",
                list(end["w_reinforce"][1] - best),
                above=-0.02,
            ),
            Endpoint(
                "8. at the end: pass@128 of W-REINFORCE minus GRPO", list(end["w_reinforce"][128] - end["grpo"][128])
            ),
        ],
    )


@styled
def figure(runs: Runs) -> Figure:
    """Draw pass@k at the end, and pass@128 against pass@1 along training."""
    fig = new_figure(3.4)
    left, right = fig.subplots(1, 2)
    left.plot(KS, [runs.base(k).mean() for k in KS], color=GREY, marker="o", markersize=3, label="base")
    for i, arm in enumerate(ARMS):
        colour, marker = look(i + 1)
        means = np.array([runs.at_end(arm, k).mean() for k in KS])
        left.plot(KS, means, color=colour, marker=marker, markersize=3, label=arm)
        one, many = (np.mean([row["along"][f"pass@{k}"] for row in runs.by_arm[arm]], axis=0) for k in (1, 128))
        right.plot(one, many, color=colour, marker=marker, markersize=3)
    left.set_xscale("log", base=2)
    left.set_xticks(KS[::2], [str(k) for k in KS[::2]])
    left.minorticks_off()
    left.set(title="after the last update", xlabel="k", ylabel="pass@k")
    right.set(title="along training", xlabel="pass@1", ylabel="pass@128")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return fig


def load() -> tuple[dict[str, list[Row]], Runs, list[Row]]:
    """Return pilots and runs; FileNotFoundError while a run is missing."""
    pilots, rows = read_rows(PILOTS), read_rows(RUNS)
    wanted = {(arm, world, seed) for arm in ARMS for world, seeds in WORLDS.items() for seed in seeds}
    if missing := wanted - {(row["arm"], row["world"], row["seed"]) for row in rows}:
        raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {RUNS}")
    return chosen_pilots(pilots), Runs(rows), pilots


def page(results: tuple[dict[str, list[Row]], Runs, list[Row]]) -> Page:
    """Return what the results say."""
    pilots, runs, all_pilots = results
    gain, rates = matched_gain(pilots), best_rates(all_pilots, list(ARMS), RATES)
    primary, others = endpoints(runs, gain)
    points = judge(primary, others)
    sd = float(np.std(primary.values_S, ddof=1))
    seeds = sum(map(len, WORLDS.values()))
    tried = {(arm, q): [row for row in all_pilots if row["arm"] == at_rate(arm, q)] for arm in ARMS for q in RATES}
    grid = [(arm, *(f"{mean_end(tried[arm, q], 1):.3f}" for q in RATES), f"{rates[arm]:g}") for arm in ARMS]
    narrow = [(arm, *(f"{mean_end(tried[arm, q], 128, minus_base=True):+.3f}" for q in RATES)) for arm in ARMS]
    narrow += [
        (f"{arm}, at base + {gain:.2f}", *(f"{mean_matched(tried[arm, q], gain):+.3f}" for q in RATES)) for arm in ARMS
    ]
    levels = [("base", "", *(f"{runs.base(k).mean():.3f}" for k in KS))]
    levels += [
        (arm, f"{runs.reached(arm, gain)} of {seeds}", *(f"{runs.at_end(arm, k).mean():.3f}" for k in KS))
        for arm in ARMS
    ]
    gaps = [(k, *(minus_base(runs.at_end(arm, k), runs.base(k)) for arm in ARMS)) for k in KS]
    there = {arm: runs.matched(arm, gain) for arm in ARMS}
    at = [(arm, f"{values.mean():.3f}", minus_base(values, runs.base(128))) for arm, values in there.items()]
    share = runs.base(1)
    values = {
        "gain": gain, "sd": sd, "sees": detectable(sd, seeds),
        "grid": table(("arm", *(f"{q:g}" for q in RATES), "taken"), grid),
        "narrow": table(("arm", *(f"{q:g}" for q in RATES)), narrow),
        "levels": table(("arm", "reached the gain", *(f"pass@{k}" for k in KS)), levels),
        "gaps": table(("k", *(f"{arm} - base" for arm in ARMS)), gaps),
        "matched": table(("arm", "pass@128 there", "minus the base"), at),
        "noise": np.median(runs.noise("nsr") / runs.noise("psr")), "predicted": np.mean((1 - share) / share),
        "noise_nsr": np.median(runs.noise("nsr")), "noise_psr": np.median(runs.noise("psr")),
        "minutes": sum(row["train_seconds"] for arm in runs.by_arm.values() for row in arm) / 60,
    }  # fmt: skip
    claims = {
        "NSR keeps more than PSR at equal pass@1": points[0].held,
        "PSR narrows": points[4].held,
        "NSR keeps pass@k at every k": points[5].held,
        "W-REINFORCE combines both": bool(points[6].held and points[7].held),
    }
    return Page(points, claims, {"curves.svg": figure(runs)}, values)


def mean_end(rows: Sequence[Row], k: int, minus_base: bool = False) -> float:
    """Return the mean over rows of pass@k after the last update, or of how far it ended from the base's."""
    along = [row["along"][f"pass@{k}"] for row in rows]
    return float(np.mean([values[-1] - (values[0] if minus_base else 0) for values in along]))


def mean_matched(rows: Sequence[Row], gain: float) -> float:
    """Return the mean over rows of pass@128 minus the base's where pass@1 is the base's + `gain`."""
    return float(np.mean([matched(row, gain, 128) - row["along"]["pass@128"][0] for row in rows]))


def minus_base(values_S: NDArray[np.float64], base_S: NDArray[np.float64]) -> str:
    """Return the mean difference over seeds with its t interval."""
    return signed(t_interval(values_S - base_S, 0.95)[0])


FINDING = Finding("signs", load, page, rerun, gates, {"updates": UPDATES, "rates": ", ".join(f"{q:g}" for q in RATES)})

if __name__ == "__main__":
    FINDING.main(__doc__)
