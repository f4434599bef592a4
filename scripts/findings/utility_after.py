"""Finding: train on the plain loss and apply utility afterwards, or train on the utility itself? (2511.07699)

    python scripts/findings/utility_after.py            redraw from the committed results
    python scripts/findings/utility_after.py --rerun    run both experiments again (about 12 minutes of one core)

Part 1, classifiers: parts/utility_arms.py. Part 2, reinforcement learning on `tiny`: parts/utility_rl.py. The
criterion, in pages/utility_after.md, was committed before either was run. Settings were chosen without comparing arms:
on the symmetric arm, seeds 9000 and 9001, and on the warmed-up model and a correctness-only run, seed 900.
"""

import argparse
import json
from typing import Any

import numpy as np
import torch
from finding import REPO, Finding, Page, Point, outcome, run_all_again, signed, table
from matplotlib.figure import Figure
from parts import utility_arms, utility_rl

from rlvr.core.files import write_whole
from rlvr.measure.metrics import Interval, bootstrap_mean
from rlvr.measure.plots.style import BLUE, GREEN, GREY, RED, draw_interval, new_figure, styled

RESULTS = utility_rl.STORE / "classifiers.json"
SEEDS = range(10)
MAIN, RATIOS, HIGH = 0.3, (2, 5, 10, 20, 50), (10, 20, 50)
SETTINGS = [(MAIN, r, 2) for r in RATIOS] + [(0.1, 10, 2), (0.5, 10, 2), (MAIN, 10, 4)]


def classifiers(seed: int) -> dict[str, Any]:
    """Train all arms of one seed; return setting -> arm -> metric -> value."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for classes in (2, 4):
        models = [
            utility_arms.Model(seed, prevalence, ratio if kind != "symmetric" else 1, kind, classes)
            for prevalence, ratio, k in SETTINGS
            for kind in ("symmetric", "weighted", "matched")
            if k == classes
        ]
        found |= utility_arms.measure_arms(list(dict.fromkeys(models)))
    for r in RATIOS:
        losses = utility_arms.convex_control(seed, r)
        found[f"control/{r}"] = {arm: {"weighted_loss": loss} for arm, loss in losses.items()}
    return {"settings": found}


def rerun(options: argparse.Namespace) -> None:
    """Run the classifiers, then reinforcement learning, and store what each measured."""
    tasks = [{"seed": seed} for seed in SEEDS]
    with run_all_again(
        REPO / "runs" / "finding-utility_after" / "classifiers", tasks, classifiers, options.jobs
    ) as rows:
        stored: dict[str, Any] = {}
        for row in rows:
            for setting, arms in row["settings"].items():
                for arm, metrics in arms.items():
                    for name, value in metrics.items():
                        values = stored.setdefault(setting, {}).setdefault(arm, {}).setdefault(name, [])
                        values.append(round(value, 5))
        write_whole(RESULTS, json.dumps(stored))
    utility_rl.rerun(options)


def gap(stored: dict[str, Any], setting: str, metric: str, a: str = "A", b: str = "B") -> Interval:
    """Return the interval over seeds of arm a minus arm b."""
    return bootstrap_mean(np.subtract(stored[setting][a][metric], stored[setting][b][metric]))


def slope(stored: dict[str, Any]) -> Interval:
    """Return the interval over seeds of the slope of the weighted-loss gap in log r, at the main prevalence."""
    keys = [f"{MAIN}/{r}/2" for r in RATIOS]
    gaps = np.array([np.subtract(stored[k]["A"]["weighted_loss"], stored[k]["B"]["weighted_loss"]) for k in keys])
    return bootstrap_mean(np.polyfit(np.log(RATIOS), gaps, 1)[0])


def _four(found: Interval) -> str:
    """Return an interval with four decimals: these gaps are small."""
    return signed(found, 4)


def points(stored: dict[str, Any]) -> list[Point]:
    """Return points 1 to 5 of the criterion."""
    high = [f"{MAIN}/{r}/2" for r in HIGH]
    loss, cost = ([gap(stored, k, m) for k in high] for m in ("weighted_loss", "cost"))
    area = [gap(stored, k, "auroc", "B", "A") for k in high]
    probes = [gap(stored, k, "auroc", "FB", "FA") for k in high]
    control = [
        abs(gap(stored, f"control/{r}", "weighted_loss").value) / np.mean(stored[f"control/{r}"]["A"]["weighted_loss"])
        for r in RATIOS
    ]
    grows = slope(stored)

    def listed(found: list[Interval]) -> str:
        return "; ".join(map(_four, found))

    return [
        Point("1. weighted log loss, A - B at r = 10; 20; 50", listed(loss), all(i.low > 0 for i in loss)),
        Point("2. cost, A - B", listed(cost), all(i.value >= 0 for i in cost)),
        Point(
            "3. AUROC, B - A; of the probes on the frozen bodies",
            f"{listed(area)}; probes {listed(probes)}",
            all(i.value >= 0 for i in area + probes),
        ),
        Point("4. slope of the gap in log r", _four(grows), grows.low > 0),
        Point("5. control: largest gap relative to the loss", f"{max(control):.3%}", max(control) < 0.01),
    ]


def rl_points(rl: dict[str, Any]) -> list[Point]:
    """Return points 6 and 7 of the criterion."""
    utility, learned = rl["utility"], rl["pass@1"]
    return [
        Point("6. RL: utility, honest + Platt + threshold minus utility as reward", str(utility), utility.low > 0),
        Point("7. RL: pass@1, honest minus utility as reward", str(learned), learned.value >= 0),
    ]


def shares(stored: dict[str, Any]) -> str:
    """Return the gap in weighted log loss as a share of A's loss, for each cost ratio."""
    losses = {r: {arm: np.mean(stored[f"{MAIN}/{r}/2"][arm]["weighted_loss"]) for arm in "AB"} for r in RATIOS}
    return ", ".join(f"{1 - found['B'] / found['A']:.1%} at r = {r}" for r, found in losses.items())


@styled
def figure(stored: dict[str, Any]) -> Figure:
    """Draw the gap against the cost ratio, for the weighted loss, the cost and the AUROC."""
    fig = new_figure(3.2)
    panels = (
        (
            "weighted log loss (A − B)",
            "weighted_loss",
            {"B": ("A and B", BLUE), "E": ("E instead of A: scale matched", RED)},
        ),
        ("cost (A − B)", "cost", {"B": ("A and B", BLUE), "E": ("E instead of A: scale matched", RED)}),
        ("AUROC (B − A)", "auroc", {"B": ("A and B", BLUE), "F": ("probes on their frozen bodies", GREEN)}),
    )
    for ax, (title, metric, lines) in zip(fig.subplots(1, 3), panels, strict=True):
        ax.axhline(0, color=GREY, linewidth=1)
        for i, (which, (label, colour)) in enumerate(lines.items()):
            arms = {"B": ("A", "B"), "E": ("E", "B"), "F": ("FA", "FB")}[which]
            if metric == "auroc":
                arms = arms[::-1]
            at = np.array(RATIOS) * 1.06**i
            found = [gap(stored, f"{MAIN}/{r}/2", metric, *arms) for r in RATIOS]
            for x, interval in zip(at, found, strict=True):
                draw_interval(ax, x, interval, colour)
            ax.plot(at, [f.value for f in found], color=colour, marker="os"[i], markersize=4, label=label)
        ax.set_xscale("log")
        ax.set_xticks(RATIOS, [str(r) for r in RATIOS])
        ax.minorticks_off()
        ax.locator_params(axis="y", nbins=6)
        ax.set(title=title, xlabel="cost ratio r")
    handles = {label: line for ax in fig.axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    return fig


def arm_table(stored: dict[str, Any]) -> str:
    """Return the mean of every arm in every setting, as Markdown."""
    rows = []
    for prevalence, ratio, classes in SETTINGS:
        arms = stored[f"{prevalence}/{ratio}/{classes}"]
        for arm in ("A", "B", "C", "D", "E", "FA", "FB", "A, chosen by utility", "B, chosen by utility", "Bayes"):
            cells = [f"{np.mean(arms[arm][m]):.3f}" for m in ("weighted_loss", "cost", "log_loss", "auroc", "ece")]
            rows.append((f"{prevalence}, {ratio}, {classes}", arm, *cells))
    return table(("prevalence, r, classes", "arm", "weighted log loss", "cost", "log loss", "AUROC", "ECE"), rows)


def elsewhere(stored: dict[str, Any]) -> str:
    """Return the gaps at the other prevalences, with four classes, and with checkpoints chosen by utility."""
    rows = []
    for label, key, a, b in (
        ("prevalence 0.1", "0.1/10/2", "A", "B"),
        ("prevalence 0.3", "0.3/10/2", "A", "B"),
        ("prevalence 0.5", "0.5/10/2", "A", "B"),
        ("four classes, prevalence 0.3", "0.3/10/4", "A", "B"),
        ("prevalence 0.3, checkpoints chosen by utility", "0.3/10/2", "A, chosen by utility", "B, chosen by utility"),
        ("prevalence 0.3, A scale matched (E)", "0.3/10/2", "E", "B"),
        ("prevalence 0.3, B after temperature (D)", "0.3/10/2", "A", "D"),
    ):
        belief = "C" if a == "A" else a  # with four classes P(wrong) must come from the belief, not from A's report
        gaps = [gap(stored, key, metric, a, b) for metric in ("weighted_loss", "cost")]
        gaps.append(gap(stored, key, "auroc", b, belief))
        rows.append((label, *map(_four, gaps)))
    return table(("setting (r = 10)", "weighted log loss, A - B", "cost, A - B", "AUROC of the beliefs, B - A"), rows)


def load() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the stored results of the classifiers, and what those of reinforcement learning come to."""
    return json.loads(RESULTS.read_text(encoding="utf-8")), utility_rl.compare()


def page(results: tuple[dict[str, Any], dict[str, Any]]) -> Page:
    """Return what the results say."""
    stored, rl = results
    found, more = points(stored), rl_points(rl)
    held = [bool(point.held) for point in found]
    rl_verdict = outcome(bool(point.held) for point in more)
    if rl["answered"]["honest"] < 0.01 and rl_verdict != "not reproduced":
        rl_verdict = "not shown (its criterion was met by never answering)"
    claims: dict[str, bool | str] = {
        "better beliefs of the classifiers": held[2],
        "their lower weighted loss": held[0],
        "their lower cost": held[1],
        "a gap that grows with the cost ratio": held[3],
        "reinforcement learning": "not testable here",
    }
    values = {
        "elsewhere": elsewhere(stored), "table": arm_table(stored), "shares": shares(stored), "rl": rl,
        "rl_rows": rl["table"], "rl_verdict": rl_verdict, "steps": utility_arms.STEPS, "n_train": utility_arms.N_TRAIN,
    }  # fmt: skip
    # The control holds, or nothing counts.
    summary = outcome(held) if all(held) or (held[4] and any(held[:4])) else "not reproduced"
    return Page([*found, *more], claims, {"gap.svg": figure(stored)}, values, summary, sum(held))


FINDING = Finding("utility_after", load, page, rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
