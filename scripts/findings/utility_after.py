"""Finding: train on the plain loss and apply utility afterwards, or train on the utility itself? (2511.07699)

    python scripts/findings/utility_after.py            redraw from the committed results
    python scripts/findings/utility_after.py --rerun    run what is missing (about 10 minutes of one core)

Classifiers: parts/utility_arms.py on parts/utility_task.py, and parts/utility_digits.py. The criterion, in
pages/utility_after.md, was committed before any weighted arm was trained on more than a timing run that nobody read.
Reinforcement learning has a page of its own, utility_testbed.py.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import utility_arms, utility_digits
from parts.utility_arms import SETTINGS
from parts.utility_control import control_gap

from rlvr.decide import learning_incentive
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, styled

STORE = REPO / "docs" / "findings" / "utility_after"
PILOTS, ROWS, DIGITS = STORE / "pilots.jsonl", STORE / "classifiers.jsonl", STORE / "digits.jsonl"
SEEDS, PILOT_SEEDS = range(100, 150), (900, 901)
MAIN, RATIO = 0.3, 50
HIGH = (10, 50, 100)
MEASURES = ("weighted loss", "cost", "AUROC")

Float = NDArray[np.float64]


def rho(classes: int, prevalence: float, ratio: float) -> float:
    """Return the learning incentive at the prior: below 1, weights in the loss are predicted to do harm."""
    prior = np.full(classes, (1 - prevalence) / (classes - 1))
    prior[utility_arms.UP] = prevalence
    return float(learning_incentive(prior[None], utility_arms.weights(ratio, classes))[0])


def pilot(classes: int, seed: int) -> dict[str, Any]:
    """Train B alone."""
    return {"settings": utility_arms.measure_pilot(classes, seed)}


def classifiers(classes: int, seed: int) -> dict[str, Any]:
    """Train all arms of one seed."""
    return {"settings": utility_arms.measure_seed(classes, seed)}


def digits(seed: int) -> dict[str, Any]:
    """Train all arms of one seed on the handwritten digits."""
    return {"settings": utility_digits.measure_seed(seed)}


def gates() -> list[Gate]:
    """Train B alone with the pilot seeds, and the control; return what must hold before an arm is run."""
    tasks = [{"classes": classes, "seed": seed} for classes in SETTINGS for seed in PILOT_SEEDS]
    rows = run_tasks(PILOTS, tasks, pilot)

    def mean(classes: int, prevalence: float, name: str) -> float:
        return float(np.mean([r["settings"][str(prevalence)][name] for r in rows if r["classes"] == classes]))

    learned = {k: [mean(k, prevalence, "learned") for prevalence in SETTINGS[k][0]] for k in SETTINGS}
    reversal = mean(2, 0.05, "rho 10")
    others = [mean(k, p, f"rho {r}") for k, (ps, _) in SETTINGS.items() for p in ps for r in HIGH]
    others.remove(reversal)
    control = max(abs(control_gap(seed, ratio)) for seed in PILOT_SEEDS for ratio in HIGH)
    accuracy = float(np.mean([utility_digits.accuracy_of_b(seed) for seed in PILOT_SEEDS]))
    return [
        Gate("share of the information that B learns, K = 2, least over prevalences", min(learned[2]), low=0.15),
        Gate("the same, most", max(learned[2]), high=0.9),
        Gate("share of the information that B learns, K = 8, least", min(learned[8]), low=0.15),
        Gate("the same, most", max(learned[8]), high=0.9),
        Gate("rho along B's way at prevalence 0.05, r = 10, K = 2", reversal, low=1.05),
        Gate("rho along B's way at all other settings with r of 10 or more, most", max(others), high=0.95),
        Gate("control: gap of a well-specified logistic regression, share of the loss", control, high=0.01),
        Gate("accuracy of B on the digits", accuracy, 0.5, 0.97),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure what is missing."""
    run_tasks(ROWS, [{"classes": k, "seed": s} for k in SETTINGS for s in SEEDS], classifiers, options.jobs)
    run_tasks(DIGITS, [{"seed": seed} for seed in SEEDS], digits, options.jobs)


class Results:
    """Hold the stored rows; every number is one per seed."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], of_digits: Sequence[Mapping[str, Any]]):
        self._by_seed = {(row["classes"], row["seed"]): row["settings"] for row in rows}
        self._digits = {row["seed"]: row["settings"] for row in of_digits}
        wanted = {(k, s) for k in SETTINGS for s in SEEDS}
        if missing := len(wanted - self._by_seed.keys()) + len(set(SEEDS) - self._digits.keys()):
            raise FileNotFoundError(f"{missing} of {len(wanted) + len(SEEDS)} rows are missing in {STORE}")

    def of(self, classes: int, prevalence: float, ratio: float, arm: str, name: str = "weighted loss") -> Float:
        """Return a measure of an arm."""
        key, at = f"{prevalence}/{ratio}", MEASURES.index(name)
        return np.array([self._by_seed[classes, seed][key][arm][at] for seed in SEEDS])

    def of_digits(self, ratio: float, arm: str, name: str = "weighted loss") -> Float:
        """Return a measure of an arm on the handwritten digits."""
        return np.array([self._digits[seed][str(ratio)][arm][MEASURES.index(name)] for seed in SEEDS])

    def regret(self, classes: int, prevalence: float, ratio: float, arm: str = "A", name: str = "weighted loss"):
        """Return (A - B) / (A - Bayes): the share of A's distance to the best possible that B does not have."""
        a, b, best = (self.of(classes, prevalence, ratio, which, name) for which in (arm, "B", "Bayes"))
        return (a - b) / (a - best)

    def digits_gap(self, ratio: float, arm: str = "A") -> Float:
        """Return (A - B) / A in weighted loss on the digits, whose best possible is not known."""
        a = self.of_digits(ratio, arm)
        return (a - self.of_digits(ratio, "B")) / a


def endpoints(found: Results) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    by_ratio = np.array([found.regret(2, MAIN, ratio) for ratio in HIGH])
    slope = np.polyfit(np.log(HIGH), by_ratio, 1)[0]
    grid = [(p, r) for p in SETTINGS[2][0] for r in SETTINGS[2][1]]
    predicted = -np.log([rho(2, p, r) for p, r in grid])
    seen = np.array([found.regret(2, p, r) for p, r in grid])
    agree = [float(np.corrcoef(predicted, column)[0, 1]) for column in seen.T]
    area = found.of(2, MAIN, RATIO, "B", "AUROC") - found.of(2, MAIN, RATIO, "A", "AUROC")
    gap: Callable[..., list[float]] = lambda *key: list(found.regret(*key))  # noqa: E731
    return (
        Endpoint("1. K = 2: regret in weighted loss, A", gap(2, MAIN, RATIO)),
        [
            Endpoint("2. K = 8: the same", gap(8, MAIN, RATIO)),
            Endpoint("3. K = 2: the same of E, whose steps are as long as B's", gap(2, MAIN, RATIO, "E")),
            Endpoint("4. K = 8: the same of E", gap(8, MAIN, RATIO, "E")),
            Endpoint("5. K = 2: regret in cost, A", gap(2, MAIN, RATIO, "A", "cost")),
            Endpoint("6. K = 2: AUROC of the belief, B minus A", list(area)),
            Endpoint("7. K = 2: slope of the regret in log r", list(slope)),
            Endpoint(
                "8. K = 2, prevalence 0.05, r = 10, where rho > 1: minus the regret", list(-found.regret(2, 0.05, 10))
            ),
            Endpoint("9. K = 2: correlation of the regret with -log rho over the 20 settings", agree),
            Endpoint("10. digits: (A - B) / A at r = 10", list(found.digits_gap(10))),
            Endpoint("11. digits: (A - B) / A at r = 50", list(found.digits_gap(50))),
            Endpoint("12. digits: (E - B) / E at r = 50", list(found.digits_gap(50, "E"))),
        ],
    )


def sign_rows(found: Results, pilots: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Return a row for each setting: rho at the prior and along B's way, regrets, and whether the sign of A's fits.

    It is "yes" or "no" where A's interval excludes 0, else "open".
    """
    rows = []
    for k, (prevalences, ratios) in SETTINGS.items():
        for p in prevalences:
            for r in ratios:
                start = rho(k, p, r)
                along = np.mean([row["settings"][str(p)][f"rho {r}"] for row in pilots if row["classes"] == k])
                a, e = (t_interval(found.regret(k, p, r, arm), 0.95)[0] for arm in "AE")
                fits = "open" if a.low <= 0 <= a.high else "yes" if (a.value > 0) == (start < 1) else "no"
                rows.append((k, p, r, f"{start:.2f}", f"{along:.2f}", signed(a), signed(e), fits))
    return rows


@styled
def figure(found: Results) -> Figure:
    """Draw the regret of A and of E against rho, each setting a point, K = 2 and K = 8 beside each other."""
    fig = new_figure(3.2)
    for ax, (k, (prevalences, ratios)) in zip(fig.subplots(1, 2), SETTINGS.items(), strict=True):
        ax.axhline(0, color=GREY, linewidth=1)
        ax.axvline(1, color=GREY, linewidth=1)
        for i, arm in enumerate("AE"):
            colour, marker = look(i)
            for j, (p, r) in enumerate((p, r) for p in prevalences for r in ratios):
                gap: Interval = t_interval(found.regret(k, p, r, arm), 0.95)[0]
                draw_interval(ax, rho(k, p, r), gap, colour)
                label = ("A: weights in the loss", "E: the same, steps as long as B's")[i] if j == 0 else None
                ax.plot(rho(k, p, r), gap.value, marker, color=colour, markersize=4, label=label)
        ax.set_xscale("log")
        ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])  # ours: matplotlib's are TeX
        ax.minorticks_off()
        ax.set(title=f"K = {k}", xlabel="rho at the prior", ylabel="regret beside B")
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    return fig


def load() -> tuple[Results, list[dict[str, Any]]]:
    """Return results and pilots; FileNotFoundError while a row is missing."""
    return Results(read_rows(ROWS), read_rows(DIGITS)), read_rows(PILOTS)


def page(results: tuple[Results, list[dict[str, Any]]]) -> Page:
    """Return what the results say."""
    found, pilots = results
    primary, others = endpoints(found)
    points, signs = judge(primary, others), sign_rows(found, pilots)
    levels = [
        (k, p, r, arm, *(f"{found.of(k, p, r, arm, name).mean():.4f}" for name in MEASURES))
        for k, (prevalences, ratios) in SETTINGS.items()
        for p in prevalences
        for r in ratios
        for arm in ("A", "B", "E", "Bayes")
    ]
    on_digits = [
        (r, arm, *(f"{found.of_digits(r, arm, name).mean():.4f}" for name in MEASURES))
        for r in utility_digits.RATIOS
        for arm in "ABE"
    ]
    sd = float(np.std(primary.values_S, ddof=1))
    fits = [row[-1] for row in signs]
    values = {
        "sd": sd, "sees": detectable(sd, len(SEEDS)),
        "a": found.regret(2, MAIN, RATIO).mean(), "e": found.regret(2, MAIN, RATIO, "E").mean(),
        "signs": table(("K", "prevalence", "r", "rho", "rho along B", "regret, A", "regret, E", "sign fits"), signs),
        "right": fits.count("yes"), "wrong": fits.count("no"), "open": fits.count("open"), "all": len(fits),
        "levels": table(("K", "prevalence", "r", "arm", *MEASURES), levels),
        "digits": table(("r", "arm", *MEASURES), on_digits),
        "minutes": sum(row["seconds"] for file in (ROWS, DIGITS) for row in read_rows(file)) / 60,
    }  # fmt: skip
    held = [point.held for point in points]
    claims = {
        "weights in the loss cost more of it": held[0],
        "with eight classes": held[1],
        "beyond a shorter step": held[2] and held[3],
        "more cost of the decisions": held[4],
        "worse beliefs": held[5],
        "harm that grows with the cost ratio": held[6],
        "a reversal where rho is above 1": held[7],
        "on handwritten digits": held[9] and held[10],
        "on digits beyond a shorter step": held[11],
    }
    return Page(points, claims, {"signs.svg": figure(found)}, values)


FINDING = Finding(
    "utility_after", load, page, rerun, gates,
    settings={"steps": utility_arms.STEPS, "batch": utility_arms.BATCH, "seeds": len(SEEDS)},
)  # fmt: skip

if __name__ == "__main__":
    FINDING.main(__doc__)
