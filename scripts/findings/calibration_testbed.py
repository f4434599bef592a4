"""Finding: does a Brier term repair what a binary reward does to a stated confidence? (2507.16806), on the operators

    python scripts/findings/calibration_testbed.py            redraw from the committed results
    python scripts/findings/calibration_testbed.py --rerun    run what is missing: pilots and gates, then 48 runs

The criterion is in pages/calibration_testbed.md; it was committed before the first pilot. Runs:
parts/confidence_runs.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import confidence_runs as runs
from parts.confidence_runs import ARMS, BASES, UPDATES, WORLDS
from parts.testbed_runs import at_rate, best_rates

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled

STORE = REPO / "docs" / "findings" / "calibration_testbed"
PILOTS, ROWS, BASE_ROWS = STORE / "pilots.jsonl", STORE / "runs.jsonl", STORE / "bases.jsonl"
RATES = (3e-5, 1e-4, 3e-4)
PILOT_WORLDS = (910, 911)
MEASURES = ("pass@1", "skill", "brier", "brier_platt", "auroc", "oracle", "ece", "missing")

Row = Mapping[str, Any]


def gates() -> list[Gate]:
    """Run the pilots, on the base whose confidence is random; return what must hold before an arm is run."""
    for world in PILOT_WORLDS:
        arms = {
            at_rate(arm, rate): {**text, "set": {**text.get("set", {}), "learning_rate": rate}}
            for arm, text in ARMS.items()
            for rate in RATES
        }
        runs.train_base("random", PILOTS, world, arms, [world], runs.pilot, jobs=2)
    bases = run_tasks(
        STORE / "pilot_bases.jsonl", [{"base": b, "world": w} for b in BASES for w in PILOT_WORLDS], runs.pilot_base
    )
    rates = best_rates(read_rows(PILOTS), list(ARMS), RATES)
    binary = [row for row in read_rows(PILOTS) if row["arm"] == at_rate("binary", rates["binary"])]

    def base(kind: str, name: str) -> float:
        return float(np.mean([row[name] for row in bases if row["base"] == kind]))

    first = {
        name: np.mean([row[f"train_{name}"][:10] for row in binary])
        for name in ("groups/mixed", "health/gradient_cosine")
    }
    gain = np.mean([row["along"]["pass@1"][-1] - row["along"]["pass@1"][0] for row in binary])
    start = np.mean([row["along"]["pass@1"][1] - row["along"]["pass@1"][0] for row in binary])
    return [
        Gate("pass@1 of the base", base("random", "pass@1"), 0.1, 0.5),
        Gate("mixed groups of 16, first ten updates of binary", float(first["groups/mixed"]), low=0.5),
        Gate("cosine of two halves, first ten updates of binary", float(first["health/gradient_cosine"]), low=0.3),
        Gate(f"gain of binary in pass@1 in {UPDATES} updates", float(gain), low=0.15),
        Gate("change of pass@1 in its first ten updates", float(start), low=-0.02),
        Gate("AUROC of the chance itself (the oracle), base", base("random", "oracle"), low=0.7),
        Gate("AUROC of E[q], the base with random confidence", base("random", "auroc"), 0.45, 0.55),
        Gate("AUROC of E[q], the base with informative confidence", base("informed", "auroc"), low=0.65),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing, world by world; the arms of the paper first."""
    run_tasks(BASE_ROWS, [{"base": b, "world": w} for b in BASES for w in WORLDS], runs.test_base)
    rates = best_rates(read_rows(PILOTS), list(ARMS), RATES)
    for base, names in BASES.items():
        arms = {a: {**ARMS[a], "set": {**ARMS[a].get("set", {}), "learning_rate": rates[a]}} for a in names}
        for world, seeds in WORLDS.items():
            runs.train_base(base, ROWS, world, arms, seeds, runs.after, options.jobs)


class Runs:
    """The stored runs: a number for every seed, of an arm from a base, or of the base itself."""

    def __init__(self, rows: Sequence[Row], bases: Sequence[Row]):
        self.order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
        self.stored = {(row["base"], row["arm"], row["world"], row["seed"]): row for row in rows}
        self.bases = {(row["base"], row["world"]): row for row in bases}
        wanted = {(base, arm, *key) for base, arms in BASES.items() for arm in arms for key in self.order}
        if missing := wanted - self.stored.keys():
            raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {ROWS}")

    def of(self, base: str, arm: str, name: str) -> NDArray[np.float64]:
        """Return a measure at the end of each seed's run; arm "base": of its base, untrained."""
        rows = [self.bases[base, w] if arm == "base" else self.stored[base, arm, w, s] for w, s in self.order]
        return np.array([row[name] for row in rows], float)


def endpoints(found: Runs) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""

    def of(arm: str, name: str, base: str = "random") -> NDArray[np.float64]:
        return found.of(base, arm, name)

    def excess(arm: str) -> NDArray[np.float64]:
        return of(arm, "auroc") - 0.5 - (of(arm, "oracle") - 0.5) / 2

    return (
        Endpoint("1. Brier score of E[q]: binary minus RLCR", list(of("binary", "brier") - of("rlcr", "brier"))),
        [
            Endpoint("2. pass@1: RLCR minus binary", list(of("rlcr", "pass@1") - of("binary", "pass@1")), above=-0.02),
            Endpoint("3. Brier skill of E[q] of RLCR over the best constant", list(of("rlcr", "skill"))),
            Endpoint("4. AUROC of E[q] of RLCR, beyond half of the oracle's excess", list(excess("rlcr"))),
            Endpoint(
                "5. Brier score: binary after Platt scaling minus RLCR",
                list(of("binary", "brier_platt") - of("rlcr", "brier")),
            ),
            Endpoint("6. Brier skill of E[q] of the proper split", list(of("split", "skill"))),
            Endpoint("7. Brier skill of E[q] of the expected Brier loss", list(of("expected", "skill"))),
            Endpoint(
                "8. Brier score: RLCR minus the expected Brier loss",
                list(of("rlcr", "brier") - of("expected", "brier")),
            ),
            Endpoint(
                "9. informative base: AUROC of E[q], the base minus binary",
                list(of("base", "auroc", "informed") - of("binary", "auroc", "informed")),
            ),
            Endpoint(
                "10. informative base: Brier score of E[q], binary minus the base's best map (Platt)",
                list(of("binary", "brier", "informed") - of("binary", "brier_platt", "informed")),
            ),
            Endpoint(
                "11. informative base: AUROC of E[q], RLCR minus the base",
                list(of("rlcr", "auroc", "informed") - of("base", "auroc", "informed")),
                above=-0.02,
            ),
        ],
    )


@styled
def figure(found: Runs) -> Figure:
    """Draw AUROC and Brier skill of E[q] at the end, each seed a dot."""
    fig = new_figure(3.2)
    axes = fig.subplots(1, 2)
    places = [(base, arm) for base, arms in BASES.items() for arm in ("base", *arms)]
    for ax, name, title in ((axes[0], "auroc", "AUROC of E[q]"), (axes[1], "skill", "Brier skill of E[q]")):
        for i, (base, arm) in enumerate(places):
            values = found.of(base, arm, name)
            colour, marker = look(list(BASES).index(base))
            ax.plot(values, [i] * len(values), marker, color=colour, markersize=3, alpha=0.6)
            ax.plot(values.mean(), i, "|", color=colour, markersize=12)
        ax.axvline(0.5 if name == "auroc" else 0, color=GREY, linewidth=1)
        ax.set_yticks(range(len(places)), [f"{arm}, {base}" for base, arm in places])
        ax.invert_yaxis()
        ax.set(title=title)
    axes[1].set_yticklabels([])
    return fig


def load() -> tuple[Runs, list[Row]]:
    """Return runs and pilots; FileNotFoundError while a run is missing."""
    return Runs(read_rows(ROWS), read_rows(BASE_ROWS)), read_rows(PILOTS)


def page(results: tuple[Runs, list[Row]]) -> Page:
    """Return what the results say."""
    found, pilots = results
    primary, others = endpoints(found)
    points = judge(primary, others)
    rates = best_rates(pilots, list(ARMS), RATES)
    levels = [
        (f"{arm}, {base}", *(f"{found.of(base, arm, name).mean():.3f}" for name in MEASURES))
        for base, arms in BASES.items()
        for arm in ("base", *arms)
    ]
    binary = {name: found.of("random", "binary", name) for name in ("pass@1", "brier", "auroc")}
    gaps = [
        (arm, *(signed(t_interval(found.of("random", arm, n) - binary[n], 0.95)[0]) for n in binary))
        for arm in BASES["random"][1:]
    ]
    grid = []
    for arm in ARMS:
        tried = [[r["along"]["pass@1"][-1] for r in pilots if r["arm"] == at_rate(arm, q)] for q in RATES]
        grid.append((arm, *(f"{np.mean(values):.3f}" for values in tried), f"{rates[arm]:g}"))
    sd, seeds = float(np.std(primary.values_S, ddof=1)), len(found.order)
    values = {
        "sd": sd, "sees": detectable(sd, seeds), "levels": table(("arm, base", *MEASURES), levels),
        "gaps": table(("arm minus binary", "pass@1", "Brier", "AUROC"), gaps),
        "grid": table(("arm", *(f"{q:g}" for q in RATES), "taken"), grid),
        "minutes": sum(row["train_seconds"] for row in found.stored.values()) / 60,
    }  # fmt: skip
    claims = {
        "a Brier term improves the score": points[0].held,
        "at no loss of accuracy": points[1].held,
        "beyond a constant": points[2].held,
        "it knows which problems": points[3].held,
        "beyond Platt scaling": points[4].held,
        "a binary reward destroys an informative confidence": points[8].held,
    }
    return Page(points, claims, {"seeds.svg": figure(found)}, values)


FINDING = Finding(
    "calibration_testbed", load, page, rerun, gates, {"updates": UPDATES, "rates": ", ".join(f"{q:g}" for q in RATES)}
)

if __name__ == "__main__":
    FINDING.main(__doc__)
