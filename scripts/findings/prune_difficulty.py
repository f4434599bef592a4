"""Finding: keep hard rows when data are abundant, easy ones when they are scarce (2206.14486, section 8 of the notes).

    python scripts/findings/prune_difficulty.py            redraw from the committed results
    python scripts/findings/prune_difficulty.py --rerun    run what is missing first (about 4 minutes of one core)

The criterion is in pages/prune_difficulty.md; it was committed before the first of the seeds that are judged. The
experiments are in parts/prune_arms.py. What pruning does to the problems of an RL run: prune_problems.py.
"""

import argparse
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Page, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.prune_arms import (
    ABUNDANT_ROWS,
    ALPHAS,
    ANGLE,
    ANGLES,
    FRACTIONS,
    NOISE,
    POOLS,
    SCARCE,
    STRATA,
    TAIL,
    UPDATES,
    N,
    digits,
    noisy,
    perceptron,
)  # fmt: skip

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled
from rlvr.select.prune import ABUNDANT

ROWS = REPO / "docs" / "findings" / "prune_difficulty" / "rows.jsonl"
SEEDS = range(100, 120)
EXPERIMENTS = {"perceptron": perceptron, "noise": noisy, "digits": digits}

Errors = dict[str, dict[str, NDArray[np.float64]]]  # experiment -> key -> error, seed by seed


def measure(experiment: str, seed: int) -> dict[str, Any]:
    """Run one experiment under one seed."""
    return {"errors": EXPERIMENTS[experiment](seed)}


def rerun(options: argparse.Namespace) -> None:
    """Run what is missing."""
    tasks = [{"experiment": name, "seed": seed} for name in EXPERIMENTS for seed in SEEDS]
    run_tasks(ROWS, tasks, measure, options.jobs)


def load() -> Errors:
    """Return the errors; FileNotFoundError while a run is missing."""
    rows = {(row["experiment"], row["seed"]): row["errors"] for row in read_rows(ROWS)}
    if missing := {(name, seed) for name in EXPERIMENTS for seed in SEEDS} - rows.keys():
        raise FileNotFoundError(f"{len(missing)} of {len(EXPERIMENTS) * len(SEEDS)} runs are missing in {ROWS}")
    return {
        name: {key: np.array([rows[name, seed][key] for seed in SEEDS]) for key in rows[name, SEEDS[0]]}
        for name in EXPERIMENTS
    }


def log_ratio(errors: dict[str, NDArray[np.float64]], a: str, b: str) -> NDArray[np.float64]:
    """Return ln(error of a / error of b), seed by seed."""
    return np.log(errors[a] / errors[b])


def free_fraction(clean: dict[str, NDArray[np.float64]], alpha: int) -> NDArray[np.float64]:
    """Return each seed's smallest fraction at which keep-hard is within 10% of the error of all rows; 1: none."""
    near = np.array([clean[f"{alpha}/{f}/hard/{ANGLE}"] <= 1.1 * clean[f"{alpha}/all"] for f in FRACTIONS])
    return np.where(near.any(0), np.array(FRACTIONS)[near.argmax(0)], 1.0)


def endpoints(errors: Errors) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    clean, noise, digit = errors["perceptron"], errors["noise"], errors["digits"]
    few, many = POOLS[0], POOLS[-1]

    def half(alpha: int, a: str, b: str) -> NDArray[np.float64]:
        names = [f"{alpha}/0.5/{rule}" + ("" if rule == "random" else f"/{ANGLE}") for rule in (a, b)]
        return log_ratio(clean, *names)

    def gain(degrees: int) -> NDArray[np.float64]:
        return log_ratio(clean, f"{ABUNDANT_ROWS}/0.2/random", f"{ABUNDANT_ROWS}/0.2/hard/{degrees}")

    def of_digits(pool: int, a: str, b: str, groups: str = "strata") -> NDArray[np.float64]:
        return digit[f"{pool}/{groups}/{a}"] - digit[f"{pool}/{groups}/{b}"]

    flip = np.minimum(half(SCARCE, "hard", "easy"), half(ABUNDANT_ROWS, "easy", "hard"))
    digit_flip = np.minimum(of_digits(few, "hard", "easy"), of_digits(many, "easy", "hard"))
    narrow = of_digits(few, "easy", "random", "classes") - of_digits(few, "easy", "random")
    claims = {
        "2. scarce: random / easy": half(SCARCE, "random", "easy"),
        "3. scarce: hard / random": half(SCARCE, "hard", "random"),
        "4. abundant: random / hard": half(ABUNDANT_ROWS, "random", "hard"),
        "5. abundant: easy / random": half(ABUNDANT_ROWS, "easy", "random"),
        "6. the free fraction, scarce minus abundant": free_fraction(clean, SCARCE)
        - free_fraction(clean, ABUNDANT_ROWS),
        "7. a fifth of abundant: random / hard, probe 0 minus 40 degrees off": gain(0) - gain(40),
        "8. wrong labels: hard / random": log_ratio(noise, f"{NOISE}/hard", f"{NOISE}/random"),
        "9. wrong labels: hard / window": log_ratio(noise, f"{NOISE}/hard", f"{NOISE}/window"),
        "10. wrong labels: random / window": log_ratio(noise, f"{NOISE}/random", f"{NOISE}/window"),
        "11. digits: the flip": digit_flip,
        f"12. digits, {few} rows: random - easy": of_digits(few, "random", "easy"),
        f"13. digits, {many} rows: random - hard": of_digits(many, "random", "hard"),
        f"14. digits, {few} rows: easy - random, unstratified minus stratified": narrow,
    }
    return Endpoint("1. the flip", list(flip)), [Endpoint(name, list(values)) for name, values in claims.items()]


def mean(values_S: NDArray[np.float64]) -> str:
    """Return the mean over seeds with its t interval."""
    return signed(t_interval(values_S, 0.95)[0])


@styled
def plot_perceptron(clean: dict[str, NDArray[np.float64]]) -> Figure:
    """Draw the error of each rule over that of random, against rows per weight, one panel for each probe."""
    fig = new_figure(3.0)
    axes = fig.subplots(1, len(ANGLES), sharey=True)
    for ax, degrees in zip(axes, ANGLES, strict=True):
        ax.axhline(1, color=GREY, linestyle=":", linewidth=1)
        for i, rule in enumerate(("hard", "easy")):
            colour, marker = look(i)
            logs = [t_interval(log_ratio(clean, f"{a}/0.5/{rule}/{degrees}", f"{a}/0.5/random"))[0] for a in ALPHAS]
            ax.plot(ALPHAS, np.exp([b.value for b in logs]), color=colour, marker=marker, markersize=4, label=rule)
            low, high = (np.exp([getattr(b, side) for b in logs]) for side in ("low", "high"))
            ax.fill_between(ALPHAS, low, high, color=colour, alpha=0.2, linewidth=0)
        title = f"probe {degrees}° off" if degrees else "perfect probe"
        ax.set(title=title, xscale="log", yscale="log", xlabel="rows per weight", xticks=ALPHAS, xticklabels=ALPHAS)
        ax.set_yticks([0.25, 0.5, 1, 2, 4, 8], ["¼", "½", "1", "2", "4", "8"])
        ax.minorticks_off()
    axes[0].set_ylabel("error / error of random")
    axes[-1].legend(loc="upper left")
    return fig


@styled
def plot_digits(digit: dict[str, NDArray[np.float64]]) -> Figure:
    """Draw the test error minus random's against the size of the pool, stratified and not."""
    fig = new_figure(3.0)
    axes = fig.subplots(1, 2, sharey=True)
    for ax, (groups, title) in zip(
        axes, {"strata": "clusters keep a half", "classes": "classes do"}.items(), strict=True
    ):
        ax.axhline(0, color=GREY, linestyle=":", linewidth=1)
        for i, rule in enumerate(("hard", "easy")):
            colour, marker = look(i)
            gaps = [t_interval(digit[f"{p}/{groups}/{rule}"] - digit[f"{p}/{groups}/random"])[0] for p in POOLS]
            ax.plot(POOLS, [g.value for g in gaps], color=colour, marker=marker, markersize=4, label=rule)
            ax.fill_between(POOLS, [g.low for g in gaps], [g.high for g in gaps], color=colour, alpha=0.2, linewidth=0)
        ax.set(title=title, xscale="log", xlabel="rows to choose from", xticks=POOLS, xticklabels=POOLS)
        ax.minorticks_off()
    axes[0].set_ylabel("test error - random's")
    axes[1].legend()
    return fig


def page(errors: Errors) -> Page:
    """Return what the results say."""
    clean, digit = errors["perceptron"], errors["digits"]
    primary, others = endpoints(errors)
    points = judge(primary, others)
    held = [bool(point.held) for point in points]
    sd = float(np.std(primary.values_S, ddof=1))
    signs = [
        (
            "perfect" if not degrees else f"{degrees} degrees off",
            *(
                mean(log_ratio(clean, f"{a}/0.5/{rule}/{degrees}", f"{a}/0.5/random"))
                for a in (2, 10, 100)
                for rule in ("hard", "easy")
            ),
        )
        for degrees in ANGLES
    ]
    free = [(a, f"{free_fraction(clean, a).mean():.2f}") for a in ALPHAS]
    levels = [
        (pool, groups, f"{digit[f'{pool}/{groups}/random'].mean():.3f}",
         *(mean(digit[f"{pool}/{groups}/{rule}"] - digit[f"{pool}/{groups}/random"]) for rule in ("hard", "easy")))
        for pool in POOLS
        for groups in ("classes", "strata")
    ]  # fmt: skip
    claims: dict[str, bool | str] = {
        "the sign flips between scarce and abundant": held[0],
        "easy rows when scarce": held[1] and held[2],
        "hard rows when abundant": held[3] and held[4],
        "a smaller part suffices when abundant": held[5],
        "a good probe and right labels are needed": all(held[6:10]),
        "the flip on digits": held[10],
        "easy rows of few digits": held[11],
        "hard rows of many digits": held[12],
    }
    values = {
        "sd": sd, "sees": detectable(sd, len(SEEDS)),
        "signs": table(("probe", *(f"{rule}, {a} rows" for a in (2, 10, 100) for rule in ("hard", "easy"))), signs),
        "free": table(("rows per weight", "smallest free fraction"), free),
        "digits": table(("rows", "a half of each", "random", "hard - random", "easy - random"), levels),
    }  # fmt: skip
    figures = {"perceptron.svg": plot_perceptron(clean), "digits.svg": plot_digits(digit)}
    return Page(points, claims, figures, values)


SETTINGS = {
    "N": N, "seeds": len(SEEDS), "alphas": ", ".join(map(str, ALPHAS)), "angle": ANGLE, "noise": NOISE, "tail": TAIL,
    "pools": ", ".join(map(str, POOLS)), "strata": STRATA, "updates": UPDATES, "ABUNDANT": ABUNDANT,
}  # fmt: skip
FINDING = Finding("prune_difficulty", load, page, rerun, settings=SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
