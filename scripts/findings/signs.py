"""Finding: negative-only credit keeps pass@k, positive-only narrows it? (2506.01347)

    python scripts/findings/signs.py            redraw from the committed results
    python scripts/findings/signs.py --rerun    run what is missing in docs/findings/signs/runs.jsonl (about 20 minutes)

The arms are in parts/signs_arms.py, the tasks in parts/same_sum.py and parts/split_sum.py. The criterion, in
pages/signs.md, was committed before the main run.
"""

from typing import Any

import numpy as np
from finding import Finding, Page, Point, outcome, read_rows, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import signs_arms
from parts.signs_arms import ARMS, FIRST, KS, ROWS, SEEDS

from rlvr.measure.metrics import Interval, bootstrap_mean, pass_at_k
from rlvr.measure.metrics.seeds import seed_difference
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, styled

LAST = slice(-10, None)  # the last quarter of the updates


class Runs:
    """The stored runs of one task at one temperature, arm by arm."""

    def __init__(self, rows: list[dict[str, Any]], task: str = "main", heat: float = 1.0):
        mine = [r for r in rows if (r["task"], r["heat"]) == (task, heat)]
        self.by_arm = {a: {r["seed"]: r for r in mine if r["arm"] == a} for a in ("base", *ARMS)}
        self.by_arm = {arm: seeds for arm, seeds in self.by_arm.items() if seeds}

    def values(self, arm: str, seeds: list[int], k: int | None) -> NDArray[np.float64]:
        """Return (seed, problem) values: pass@k, or the number of different right answers where k is None."""
        found = [self.by_arm[arm][0 if arm == "base" else s] for s in seeds]
        return np.array(
            [np.asarray(r["distinct"], float) if k is None else pass_at_k(r["n"], r["c"], k) for r in found]
        )

    def seeds(self, *arms: str) -> list[int]:
        """Return the seeds that all of these arms have; the base has one run, which serves every seed."""
        sets = [set(self.by_arm[a]) for a in arms if a != "base"]
        return sorted(set.intersection(*sets)) if sets else [0]

    def mean(self, arm: str, k: int | None) -> float:
        return float(self.values(arm, self.seeds(arm), k).mean())

    def gap(self, ours: str, theirs: str, k: int | None) -> Interval:
        """Return the difference ours - theirs, paired by problem, over seeds and problems."""
        seeds = self.seeds(ours, theirs)
        return seed_difference(self.values(ours, seeds, k), self.values(theirs, seeds, k))[0]

    def over(self, arm: str, k: int) -> Interval:
        """Return pass@k with an interval over seeds and problems."""
        values = self.values(arm, self.seeds(arm), k)
        return bootstrap_mean(values[0]) if arm == "base" else seed_difference(values, np.zeros_like(values))[0]

    def scalar(self, arm: str, name: str) -> float:
        return float(np.mean([r.get(name, np.nan) for r in self.by_arm[arm].values()]))

    def trained(self, arm: str, name: str, part: slice) -> float:
        """Return the mean over seeds, and over a part of the updates, of a curve of training."""
        return float(np.mean([np.mean(r[f"train_{name}"][part]) for r in self.by_arm[arm].values()]))


def points(main: Runs, weak: Runs) -> list[Point]:
    """Return every point of the criterion."""
    one, last = main.gap("psr", "base", 1), main.gap("psr", "base", KS[-1])
    keeps = {k: main.gap("nsr", "base", k) for k in KS}
    worst = min(keeps, key=lambda k: keeps[k].low)
    h_nsr, h_psr = (main.scalar(a, "entropy") for a in ("nsr", "psr"))
    trained = [a for a in main.by_arm if a != "base"]
    complete = [a for a in trained if len(main.by_arm[a]) == len(SEEDS)] or trained
    best = max(complete, key=lambda a: main.mean(a, 1))
    w1, w128 = (main.mean("w_reinforce(.1)", k) for k in (1, KS[-1]))
    grpo, distinct = main.mean("grpo", KS[-1]), main.gap("nsr", "psr", None)
    found = [
        Point(f"1. PSR minus base, pass@1; pass@{KS[-1]}", f"{signed(one)}; {signed(last)}", one.low > 0 > last.high),
        Point(
            f"2. NSR minus base, pass@k, its lowest end (k = {worst}); entropy of NSR, PSR",
            f"{signed(keeps[worst])}; {h_nsr:.3f}, {h_psr:.3f} nats a token",
            keeps[worst].low > -0.01 and h_nsr >= h_psr,
        ),
        Point(
            f"3. W-REINFORCE(.1): pass@1 against the best arm ({best}); pass@{KS[-1]} against GRPO",
            f"{w1:.3f}, {main.mean(best, 1):.3f}; {w128:.3f}, {grpo:.3f}",
            w1 >= main.mean(best, 1) - 0.02 and w128 >= grpo,
        ),
        Point("4. different right answers, NSR minus PSR", signed(distinct), distinct.low > 0),
    ]
    if {"base", "nsr"} <= weak.by_arm.keys():
        f0, f1 = (weak.scalar(a, "format") for a in ("base", "nsr"))
        h0, h1 = (weak.trained("nsr", "entropy", part) for part in (slice(1), LAST))
        text = f"format {f0:.3f} to {f1:.3f}; entropy in training {h0:.3f} to {h1:.3f}"
        found.append(Point("5. weak prior, NSR: format rate or entropy", text, f1 <= f0 - 0.05 or h1 >= h0 + 0.1))
    return found


@styled
def figure(main: Runs, cool: Runs) -> Figure:
    """Draw pass@k at both temperatures, and the differences to the base."""
    fig = new_figure(3.4)
    left, middle, right = fig.subplots(1, 3)
    for ax, runs, title in ((left, main, "pass@k, T = 1"), (middle, cool, "pass@k, T = 0.6")):
        for i, arm in enumerate(("base", *ARMS)):
            if arm in runs.by_arm and (arm == "base" or arm in FIRST or runs is main):
                colour, marker = look(i)
                curve = [runs.over(arm, k) for k in KS]
                if arm in ("base", "psr", "nsr"):
                    low, high = [c.low for c in curve], [c.high for c in curve]
                    ax.fill_between(KS, low, high, color=colour, alpha=0.15, linewidth=0)
                ax.plot(KS, [c.value for c in curve], color=colour, marker=marker, markersize=3, label=arm)
        ax.set_xscale("log", base=2)
        ax.set_xticks(KS[::2], [str(k) for k in KS[::2]])
        ax.minorticks_off()
        ax.set(title=title, xlabel="k")
    for i, arm in enumerate(("base", *FIRST)):
        colour, marker = look(i)
        gaps = [main.gap(arm, "base", k) for k in KS] if arm != "base" else []
        for k, gap in zip(KS, gaps, strict=False):
            draw_interval(right, k, gap, colour)
        right.plot(KS[: len(gaps)], [g.value for g in gaps], color=colour, marker=marker, markersize=3)
    right.axhline(0, color=GREY, linewidth=1)
    right.set_xscale("log", base=2)
    right.set_xticks(KS[::2], [str(k) for k in KS[::2]])
    right.minorticks_off()
    right.set(title="minus base, T = 1", xlabel="k")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return fig


def arm_table(runs: Runs) -> str:
    """Return one line per arm: levels, and the differences to the base with their intervals."""
    levels = [cell for k in (1, 16, KS[-1]) for cell in (f"pass@{k}", "minus base")]
    rows = []
    for arm, seeds in runs.by_arm.items():
        cells = []
        for k in (1, 16, KS[-1]):
            cells += [f"{runs.mean(arm, k):.3f}", "" if arm == "base" else signed(runs.gap(arm, "base", k))]
        entropy = runs.scalar(arm, "entropy")
        shown = "not stored" if np.isnan(entropy) else f"{entropy:.3f}"
        cells += [f"{runs.mean(arm, None):.2f}", shown, f"{runs.scalar(arm, 'format'):.3f}"]
        rows.append((f"{arm} ({len(seeds)})", *cells))
    return table(("arm (seeds)", *levels, "right answers", "entropy", "format"), rows)


def weak_table(runs: Runs) -> str:
    """Return one line per run of the weak prior."""
    rows = []
    for arm, seeds in runs.by_arm.items():
        for seed, r in seeds.items():
            values = [f"{pass_at_k(r['n'], r['c'], k).mean():.4f}" for k in (1, 16)]
            curve = r.get("train_entropy")  # every completion is wrong, so that NSR's loss, and this, takes all of them
            entropy = [f"{np.mean(part):.3f}" for part in (curve[:1], curve[LAST])] if curve else ["", ""]
            rows.append((f"{arm}, {seed}", *values, f"{r['format']:.3f}", *entropy))
    return table(("run", "pass@1", "pass@16", "format", "entropy, first update", "last quarter"), rows)


def path_table(main: Runs) -> str:
    """Return the share of right completions in training, per quarter of the updates, mean over seeds."""
    rows = []
    for arm in (a for a in main.by_arm if a != "base"):
        curve = np.mean([r["train_accuracy"] for r in main.by_arm[arm].values()], axis=0)
        rows.append((arm, *(f"{part.mean():.3f}" for part in np.array_split(curve, 4))))
    return table(("arm", "first quarter", "second", "third", "last"), rows)


def gaps_by_k(main: Runs) -> str:
    """Return four arms minus the base at every k."""
    arms = {"psr": "PSR", "nsr": "NSR", "w_reinforce(.1)": "W-REINFORCE(.1)", "grpo": "GRPO"}
    rows = [(k, *(signed(main.gap(arm, "base", k)) for arm in arms)) for k in KS]
    return table(("k", *(f"{label} - base" for label in arms.values())), rows)


def load() -> list[dict[str, Any]]:
    """Return the stored runs; FileNotFoundError where there are too few for a page."""
    rows = read_rows(ROWS)
    if missing := [arm for arm in ("base", *FIRST) if arm not in Runs(rows).by_arm]:
        raise FileNotFoundError(f"{ROWS} has no run of {', '.join(missing)}")
    return rows


def page(rows: list[dict[str, Any]]) -> Page:
    """Return what the results say."""
    main, cool, weak = Runs(rows), Runs(rows, heat=0.6), Runs(rows, task="weak")
    found = points(main, weak)
    held = [bool(point.held) for point in found[:4]]
    ran = {a: len(main.by_arm.get(a, {})) for a in ARMS}
    lacking = [f"{a} ({n} of {len(SEEDS)} seeds ran)" for a, n in ran.items() if n < len(SEEDS)]
    base_P = np.array(next(iter(main.by_arm["base"].values()))["c"])
    values = {
        "completions": signs_arms.UPDATES * 128, "grpo_gain": signed(main.gap("grpo", "base", 1)),
        "solved": np.mean(base_P > 0), "fewest": base_P.min(), "ceiling": main.mean("base", 128),
        "first": {arm: main.trained(arm, "accuracy", slice(10)) for arm in ("grpo", "nsr")},
        "table": arm_table(main), "cool": arm_table(cool), "weak": weak_table(weak), "path": path_table(main),
        "by_k": gaps_by_k(main), "start": main.mean("base", 1), "steps": signs_arms.MAIN_STEPS,
        "updates": signs_arms.UPDATES, "rate": signs_arms.LEARNING_RATE,
        "lacking": f"Incomplete, time was up: {', '.join(lacking)}." if lacking else "Every arm ran with every seed.",
        "minutes": sum({(r["task"], r["arm"], r["seed"]): r["seconds"] for r in rows}.values()) / 60,
    }  # fmt: skip
    claims = {"signs": "not testable here"}
    return Page(found, claims, {"curves.svg": figure(main, cool)}, values, outcome(held), sum(held))


FINDING = Finding("signs", load, page, signs_arms.rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
