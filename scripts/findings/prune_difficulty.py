"""Finding: keep hard rows when data are abundant, easy ones when they are scarce (2206.14486, section 8 of the notes).

    python scripts/findings/prune_difficulty.py            redraw from the committed results
    python scripts/findings/prune_difficulty.py --rerun    run both experiments first (about 8 minutes of one core)

Two experiments: the teacher-student perceptron, where everything is known, and scikit-learn's digits with every score
of `rlvr/select/scores/`. Rows are chosen by `rlvr.select.prune.Prune`. The criterion, in
pages/prune_difficulty.md, was committed before the run.
"""

import argparse
import json
import math
from typing import Any

import numpy as np
from finding import REPO, Finding, Page, Point, run_all_again, table
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from rlvr.core.files import write_whole
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.bootstrap import bootstrap_mean
from rlvr.measure.plots.style import GREY, look, new_figure, styled
from rlvr.runs.pass_rate import PassRate
from rlvr.select.prune import ABUNDANT, Prune
from rlvr.select.scores import El2n, Forgetting, Memorisation, PassRateScore, Prototype
from rlvr.select.scores.probe import epochs

RESULTS = REPO / "docs" / "findings" / "prune_difficulty" / "results.json"

N = 64  # weights of the perceptron
ALPHAS, FRACTIONS, THETAS = (2, 5, 10, 30, 100), (0.1, 0.2, 0.5, 0.8), (0, 10, 40)
SEEDS, NOISE, TAIL = 20, 0.1, 0.1
DIGIT_SEEDS, DIGIT_FRACTIONS, UPDATES = 10, (0.1, 0.2, 0.4, 0.6, 0.8), 600


# The perceptron


def max_margin(Z_PN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the w of least length with Z w >= 1, exactly: Lawson and Hanson's least-distance problem by NNLS.

    Grown from a working set: solve it, add what is violated, until nothing is.
    """
    work = np.arange(min(len(Z_PN), 2 * Z_PN.shape[1]))
    while True:
        E = np.vstack([Z_PN[work].T, np.ones(len(work))])
        u, _ = nnls(E, np.append(np.zeros(Z_PN.shape[1]), 1.0), maxiter=50 * len(work))
        r = E @ u - np.append(np.zeros(Z_PN.shape[1]), 1.0)
        w = -r[:-1] / r[-1]
        margin = Z_PN @ w
        margin[work] = np.inf
        violated = np.flatnonzero(margin < 1 - 1e-6)
        if not len(violated):
            return w
        worst = violated[np.argsort(margin[violated])[: 2 * Z_PN.shape[1]]]
        work = np.union1d(work, worst)


def error(w: NDArray[np.float64], teacher: NDArray[np.float64]) -> float:
    """Return the share of all inputs that the student gets wrong: its angle to the teacher over pi, in [0, 1]."""
    cosine = w @ teacher / np.linalg.norm(w) / np.linalg.norm(teacher)
    return float(np.arccos(np.clip(cosine, -1, 1)) / math.pi)


def pool(seed: int, alpha: int) -> tuple[Any, ...]:
    """Return inputs, clean labels, the teacher and the direction in which probes go astray."""
    draw = np.random.default_rng([seed, alpha])
    teacher, astray = np.linalg.qr(draw.normal(size=(N, 2)))[0].T
    X = draw.normal(size=(alpha * N, N))
    return X, np.sign(X @ teacher), teacher, astray, draw


def probe(teacher: NDArray[np.float64], astray: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Return a student at this angle to the teacher."""
    return math.cos(math.radians(degrees)) * teacher + math.sin(math.radians(degrees)) * astray


def perceptron(seed: int) -> dict[str, float]:
    """Return "alpha/fraction/rule/theta" -> error of noise-free, max-margin students."""
    out: dict[str, float] = {}
    for alpha in ALPHAS:
        X, y, teacher, astray, _ = pool(seed, alpha)
        Z = X * y[:, None]

        def run(key: str, kept: NDArray[np.bool_], Z=Z, teacher=teacher) -> None:
            out[key] = round(error(max_margin(Z[kept]), teacher), 5)

        run(f"{alpha}/all", np.ones(len(y), dtype=bool))
        for fraction in FRACTIONS:
            run(f"{alpha}/{fraction}/random", Prune("random", fraction, seed=seed).fit(np.zeros(len(y))).kept_)
            for theta in THETAS:
                difficulty = -np.abs(X @ probe(teacher, astray, theta))
                for keep in ("hard", "easy"):
                    rule = Prune(keep, fraction, random_share=0, seed=seed).fit(difficulty)
                    run(f"{alpha}/{fraction}/{keep}/{theta}", rule.kept_)
    return out


def noisy(seed: int) -> dict[str, float]:
    """Return "noise/alpha/rule" -> error; half kept, margin signed by the label given, soft margin."""
    out: dict[str, float] = {}
    for alpha in ALPHAS:
        X, y, teacher, astray, draw = pool(seed, alpha)
        flipped = np.where(draw.random(len(y)) < NOISE, -y, y)
        for noise, labels in ((0, y), (NOISE, flipped)):
            difficulty = -labels * (X @ probe(teacher, astray, 10))
            for keep in ("random", "hard", "window", "easy"):
                kept = Prune(keep, 0.5, TAIL, random_share=0, seed=seed).fit(difficulty).kept_
                model = LogisticRegression(fit_intercept=False).fit(X[kept], labels[kept])
                out[f"{noise}/{alpha}/{keep}"] = round(error(model.coef_[0], teacher), 5)
    return out


# Digits


def digit_error(X, y, X_test, y_test, seed: int) -> float:
    """Return the test error of a small MLP after UPDATES minibatches, however many rows it has."""
    *_, model = epochs(None, X, y, math.ceil(UPDATES * 32 / len(y)), seed)
    return float((model.predict(X_test) != y_test).mean())


def digit_scores(X, y, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return every score of every training row; the policy of the pass rate is eight young classifiers."""
    record = PassRate()
    for attempt in range(8):
        *_, model = epochs(None, X, y, 2, 1000 + 8 * seed + attempt)
        for i, right in enumerate(model.predict(X) == y):
            record.add(str(i), 1, int(right))
    return {
        "el2n": El2n(seed=100 * seed).fit(X, y).scores_,
        "forgetting": Forgetting(seed=100 * seed).fit(X, y).scores_,
        "memorisation": Memorisation(seed=seed).fit(X, y).scores_,
        "pass_rate": PassRateScore(record).fit([str(i) for i in range(len(y))]).scores_,
        "prototype": Prototype(n_clusters=10, seed=seed).fit(X).scores_,
    }


def digits(seed: int) -> dict[str, float]:
    """Return "fraction/rule/score" -> test error; 1,200 rows to choose from, 597 to test on."""
    X_all, y_all = load_digits(return_X_y=True)
    out: dict[str, float] = {}
    X, X_test, y, y_test = train_test_split(X_all, y_all, train_size=1200, stratify=y_all, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    scores = digit_scores(X, y, seed)

    def run(key: str, kept: NDArray[np.bool_]) -> None:
        out[key] = round(digit_error(X[kept], y[kept], X_test, y_test, seed), 5)

    run("all", np.ones(len(y), dtype=bool))
    for fraction in DIGIT_FRACTIONS:
        run(f"{fraction}/random", Prune("random", fraction, seed=seed).fit(np.zeros(len(y)), y).kept_)
        for name, score in scores.items():
            for keep in ("hard", "easy"):
                rule = Prune(keep, fraction, random_share=0, seed=seed).fit(score, y)
                run(f"{fraction}/{keep}/{name}", rule.kept_)
    return out


EXPERIMENTS = {"perceptron": perceptron, "noise": noisy, "digits": digits}


def measure(experiment: str, seed: int) -> dict[str, Any]:
    """Run one experiment under one seed."""
    return {"errors": EXPERIMENTS[experiment](seed)}


def rerun(options: argparse.Namespace) -> None:
    """Run every experiment under every seed and store the errors, a list over seeds for each key."""
    seeds = {"perceptron": SEEDS, "noise": SEEDS, "digits": DIGIT_SEEDS}
    tasks = [{"experiment": name, "seed": seed} for name in EXPERIMENTS for seed in range(seeds[name])]
    with run_all_again(REPO / "runs" / "finding-prune_difficulty", tasks, measure, options.jobs) as rows:
        results: dict[str, Any] = {name: {} for name in EXPERIMENTS}
        for row in rows:
            for key, value in row["errors"].items():
                results[row["experiment"]].setdefault(key, []).append(value)
        results["seconds"] = round(sum(row["seconds"] for row in rows), 1)
        write_whole(RESULTS, json.dumps(results))


# Reading the results


def difference(results: dict[str, list[float]], a: str, b: str) -> Interval:
    """Return the paired interval of mean(a - b) over seeds."""
    return bootstrap_mean(np.subtract(results[a], results[b]))


def free_fraction(clean: dict[str, list[float]], alpha: int) -> float:
    """Return the smallest fraction at which keep-hard is within 10% of the mean error of all rows."""
    whole = np.mean(clean[f"{alpha}/all"])
    ok = [f for f in FRACTIONS if np.mean(clean[f"{alpha}/{f}/hard/0"]) <= 1.1 * whole]
    return min(ok, default=1.0)


def crossing(clean: dict[str, list[float]], fraction: float) -> float:
    """Return the rows per weight at which hard - random changes its sign (linear in the logarithm); NaN if never."""
    gap = [float(difference(clean, f"{a}/{fraction}/hard/0", f"{a}/{fraction}/random").value) for a in ALPHAS]
    for (a, x), (b, y) in zip(zip(ALPHAS, gap, strict=True), list(zip(ALPHAS, gap, strict=True))[1:], strict=False):
        if x > 0 >= y:
            return float(math.exp(math.log(a) + x / (x - y) * math.log(b / a)))
    return math.nan


def judge(results: dict[str, dict[str, list[float]]]) -> list[Point]:
    """Return each point of the criterion."""
    clean, noise, digit = results["perceptron"], results["noise"], results["digits"]

    def gap(alpha: int, rule: str) -> Interval:
        return difference(clean, f"{alpha}/0.5/{rule}/0", f"{alpha}/0.5/random")

    free = [free_fraction(clean, alpha) for alpha in ALPHAS]
    gains = {t: np.log(np.divide(clean["100/0.2/random"], clean[f"100/0.2/hard/{t}"])) for t in THETAS}
    flat = bootstrap_mean(gains[0] - gains[40])
    broken = difference(noise, f"{NOISE}/100/hard", f"{NOISE}/100/random")
    control = difference(noise, "0/100/hard", "0/100/random")
    mended = difference(noise, f"{NOISE}/100/window", f"{NOISE}/100/hard")
    against = difference(noise, f"{NOISE}/100/window", f"{NOISE}/100/random")
    small, large = (difference(digit, f"{f}/hard/el2n", f"{f}/random") for f in (0.1, 0.6))
    easy = difference(digit, "0.1/easy/el2n", "0.1/random")
    return [
        Point("1. scarce: hard - random > 0", str(gap(2, "hard")), gap(2, "hard").low > 0),
        Point("2. abundant: hard - random < 0", str(gap(100, "hard")), gap(100, "hard").high < 0),
        Point(
            "3. easy - random < 0 scarce, > 0 abundant",
            f"{gap(2, 'easy')}; {gap(100, 'easy')}",
            gap(2, "easy").high < 0 < gap(100, "easy").low,
        ),
        Point(
            "4. the free fraction falls",
            ", ".join(map(str, free)),
            free == sorted(free, reverse=True) and free[-1] < free[0],
        ),
        Point("5. a poor probe gains less (log ratio)", str(flat), flat.low > 0),
        Point("6. noise breaks hard; without noise it gains", f"{broken}; {control}", broken.low > 0 > control.high),
        Point("7. a window mends it: - hard; - random", f"{mended}; {against}", mended.high < 0 and against.low <= 0),
        Point("8. digits, a tenth kept: hard - random > 0", str(small), small.low > 0),
        Point("9. digits, six tenths kept: hard - random < 0", str(large), large.high < 0),
        Point("10. digits, a tenth kept: easy - random < 0", str(easy), easy.high < 0),
    ]


@styled
def plot_perceptron(clean: dict[str, list[float]], noise: dict[str, list[float]]):
    """Draw the error of each rule over that of random, against rows per weight: clean, poor probe, noisy labels."""
    fig = new_figure(3.0)
    axes = fig.subplots(1, 3, sharey=True)

    def ratios(found: dict[str, list[float]], rule: str, chance: str) -> list[Any]:
        return [np.divide(found[rule.format(a)], found[chance.format(a)]) for a in ALPHAS]

    panels = {"perfect probe": "{}/0.5/%s/0", "probe 40° off": "{}/0.5/%s/40"}
    lines = {
        title: {rule: ratios(clean, key % rule, "{}/0.5/random") for rule in ("hard", "easy")}
        for title, key in panels.items()
    }
    key = f"{NOISE}/{{}}/%s"
    lines["10% wrong labels"] = {rule: ratios(noise, key % rule, key % "random") for rule in ("hard", "easy", "window")}
    for ax, (title, rules) in zip(axes, lines.items(), strict=True):
        ax.axhline(1, color=GREY, linestyle=":", linewidth=1)
        for i, (rule, values) in enumerate(rules.items()):
            colour, marker = look(i)
            bounds = [bootstrap_mean(v) for v in values]
            ax.plot(ALPHAS, [b.value for b in bounds], color=colour, marker=marker, markersize=4, label=rule)
            ax.fill_between(
                ALPHAS, [b.low for b in bounds], [b.high for b in bounds], color=colour, alpha=0.2, linewidth=0
            )
        ax.set(title=title, xscale="log", yscale="log", xlabel="rows per weight", xticks=ALPHAS, xticklabels=ALPHAS)
        ax.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
        ax.minorticks_off()
    axes[0].set_ylabel("error / error of random")
    axes[2].legend(loc="upper left")
    return fig


@styled
def plot_digits(digit: dict[str, list[float]]):
    """Draw the test error against the fraction kept, one panel per score."""
    fig = new_figure(3.6)
    names = sorted({key.split("/")[2] for key in digit if key.count("/") == 2})
    axes = fig.subplots(2, 3, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, names, strict=False):
        for i, (rule, key) in enumerate(
            {"hard": "{}/hard/" + name, "easy": "{}/easy/" + name, "random": "{}/random"}.items()
        ):
            colour, marker = (GREY, "") if rule == "random" else look(i)
            bounds = [bootstrap_mean(digit[key.format(f)]) for f in DIGIT_FRACTIONS] + [bootstrap_mean(digit["all"])]
            xs = [*DIGIT_FRACTIONS, 1]
            ax.plot(xs, [b.value for b in bounds], color=colour, marker=marker, markersize=4, label=rule)
            ax.fill_between(xs, [b.low for b in bounds], [b.high for b in bounds], color=colour, alpha=0.2, linewidth=0)
        ax.set(title=name.replace("_", " "), yscale="log")
        ax.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["2%", "5%", "10%", "20%", "50%"])
        ax.minorticks_off()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(handles, labels, loc="center")
    fig.supxlabel("fraction kept", fontsize=9)
    fig.supylabel("test error", fontsize=9)
    axes.flat[2].tick_params(labelbottom=True)
    return fig


def page(results: dict[str, Any]) -> Page:
    """Return what the results say."""
    clean, digit = results["perceptron"], results["digits"]
    points = judge(results)
    names = sorted({key.split("/")[2] for key in digit if key.count("/") == 2})
    scores = [
        (f"{name}, {keep}", *(difference(digit, f"{f}/{keep}/{name}", f"{f}/random") for f in DIGIT_FRACTIONS))
        for name in names
        for keep in ("hard", "easy")
    ]
    crossings = "\n".join(
        f"| {f:.0%} | {at:.1f} | {f * at:.2f} |" for f in FRACTIONS if math.isfinite(at := crossing(clean, f))
    )
    poor = ",".join(
        f"\n{rule} - random {difference(clean, f'{a}/0.5/{rule}/40', f'{a}/0.5/random')} at {a}"
        for rule in ("hard", "easy")
        for a in (ALPHAS[0], ALPHAS[-1])
    )
    ok = [bool(point.held) for point in points]
    claims: dict[str, bool | str] = {
        "hard rows when abundant and not when scarce": all(ok[i] for i in (0, 1, 3)),
        "easy rows when scarce and not when abundant": ok[2],
        "a good probe and right labels are needed": all(ok[4:7]),
        "hard rows of digits likewise": all(ok[7:9]),
        "easy rows of digits when scarce": ok[9],
    }
    values = {
        "N": N, "SEEDS": SEEDS, "NOISE": NOISE, "TAIL": TAIL, "DIGIT_SEEDS": DIGIT_SEEDS, "UPDATES": UPDATES,
        "ABUNDANT": ABUNDANT, "alphas": ", ".join(map(str, ALPHAS)), "seconds": results["seconds"], "poor": poor,
        "crossings": crossings, "all_rows": bootstrap_mean(digit["all"]),
        "scores": table(("score, rule", *(f"{f:.0%} kept" for f in DIGIT_FRACTIONS)), scores),
    }  # fmt: skip
    figures = {"perceptron.svg": plot_perceptron(clean, results["noise"]), "digits.svg": plot_digits(digit)}
    return Page(points, claims, figures, values)


FINDING = Finding("prune_difficulty", lambda: json.loads(RESULTS.read_text(encoding="utf-8")), page, rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
