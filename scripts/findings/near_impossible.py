"""Finding: do near-impossible problems harm, are medium ones best, and what restores? (2605.28388)

    python scripts/findings/near_impossible.py            redraw from the stored results
    python scripts/findings/near_impossible.py --rerun    train and measure whatever is not stored yet

The problems: parts/difficulty_cells.py. The arms: parts/difficulty_runs.py. To start from nothing, remove
docs/findings/near_impossible/ first. The criterion, in pages/near_impossible.md, was committed before the main
run; settings were chosen on the warmed-up model and one arm (the unfiltered mixture), seed 900.
"""

import json
from typing import Any

import numpy as np
from finding import Finding, Page, Point, lines, outcome, read_rows, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import difficulty_runs
from parts.difficulty_cells import CELLS, MIXED, PROFILE, measured
from parts.difficulty_runs import ROWS, N, space_of

from rlvr.measure.metrics import Interval, bootstrap_mean
from rlvr.measure.metrics.seeds import seed_difference
from rlvr.measure.plots.style import BLUE, GREEN, GREY, ORANGE, RED, draw_interval, new_figure, styled

FALL, RISE = 0.02, 0.03
BEHAVIOURS = ("repetition", "skipping", "unfaithful")
RESTORERS = ("drop_near_impossible", "band", "rewritten")
NEEDED = (
    "base/small", *(f"small/{cell}/{norm}" for cell in CELLS for norm in ("grpo", "dr_grpo")),
    *(f"mixture/{name}" for name in ("none", "drop_zero_signal", *RESTORERS)),
)  # fmt: skip


class Results:
    """The stored runs, as right answers in [0, 1] per seed and held-out problem, and as behaviour per seed."""

    def __init__(self) -> None:
        rows = read_rows(ROWS)
        self.rows: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda r: r["seed"]):
            self.rows.setdefault(row["arm"], []).append(row)
        self.seconds = sum(row["seconds"] for row in rows)
        found = json.loads(PROFILE.read_text(encoding="utf-8"))
        self.profile: dict[str, dict[str, list[int]]] = {
            space: {split: list(counts.values()) for split, counts in splits.items()} for space, splits in found.items()
        }

    def has(self, *arms: str) -> bool:
        """Whether every arm has a stored run."""
        return all(arm in self.rows for arm in arms)

    def right(self, arm: str, easy: bool = False, step: int | None = None) -> NDArray[np.float64]:
        """Return pass@1 (S, P) of an arm at the end or at a step, on all held-out problems or the easy ones."""
        taken = [row["after"] if step is None or str(step) not in row.get("steps", {}) else row["steps"][str(step)]
                 for row in self.rows[arm]]  # fmt: skip
        values = np.array([[int(c) for c in found["right"]] for found in taken]) / N
        if not easy:
            return values[:, :MIXED]
        space = space_of(arm)
        return values[:, np.array(self.profile[space]["test"])[measured(space)] >= CELLS["E"][0]]

    def gap(self, arm: str, other: str, easy: bool = False, step: int | None = None) -> Interval:
        """Return arm minus other, over seeds and problems; the base counts for every seed."""
        ours, theirs = self.right(arm, easy, step), self.right(other, easy)
        seeds = len(ours) if other.startswith("base/") else min(len(ours), len(theirs))
        theirs = np.repeat(theirs, seeds, 0) if other.startswith("base/") else theirs[:seeds]
        return seed_difference(ours[:seeds], theirs)[0]

    def behaviour(self, arm: str, name: str, step: int | None = None) -> NDArray[np.float64]:
        """Return a behaviour of each seed, minus that of the warmed-up model."""
        base = self.rows[_base(arm)][0]["after"][name]
        rows = self.rows[arm]
        return np.array([(r["after"] if step is None else r["steps"][str(step)])[name] - base for r in rows])

    def training(self, arm: str, name: str) -> NDArray[np.float64]:
        """Return a number of metrics.jsonl (S, steps), NaN where it was null."""
        return np.array([[np.nan if v is None else v for v in row["train"][name]] for row in self.rows[arm]])

    def steps(self, arm: str) -> list[int]:
        """Return the steps at which the arm was measured, before the end."""
        return sorted(int(s) for s in self.rows[arm][0].get("steps", {}))


def worst(results: Results) -> str:
    """Return the near-impossible cell of the small space whose runs keep less of the easy problems."""
    return min(("small/H0/grpo", "small/Hlow/grpo"), key=lambda arm: results.right(arm, easy=True).mean())


def first_crossings(results: Results, arm: str) -> dict[str, int | None]:
    """Return the first measured step at which easy problems are lost, and at which each behaviour has risen."""
    last = len(results.rows[arm][0]["train"]["accuracy"])
    found: dict[str, int | None] = dict.fromkeys(("easy", *BEHAVIOURS))
    for step in [*results.steps(arm), last]:
        at = None if step == last else step
        if found["easy"] is None and results.gap(arm, "base/small", True, at).value <= -FALL:
            found["easy"] = step
        for name in BEHAVIOURS:
            rise = bootstrap_mean(results.behaviour(arm, name, at))
            if found[name] is None and rise.value >= RISE and rise.low > 0:
                found[name] = step
    return found


def points(results: Results) -> list[Point]:
    """Return each point of the criterion that can be judged."""
    rows = []
    for space in ("small", "large"):
        cells = {c: f"{space}/{c}/grpo" for c in CELLS}
        if results.has(*cells.values()):
            gaps = {c: results.gap(cells["M"], arm) for c, arm in cells.items() if c != "M"}
            numbers = "; ".join(f"M - {c} {signed(g)}" for c, g in gaps.items())
            rows.append(Point(f"1. M is best, {space} space", numbers, all(g.low > 0 for g in gaps.values())))
        else:
            rows.append(Point(f"1. M is best, {space} space", "not all arms were run", "not judged"))
    harm = {c: results.gap(f"small/{c}/grpo", "base/small", easy=True) for c in ("H0", "Hlow")}
    harmed = any(g.value <= -FALL and g.high < 0 for g in harm.values())
    numbers = "; ".join(f"{c} - base {signed(g)}" for c, g in harm.items())
    rows.append(Point("2. easy problems lost, small space", numbers, harmed))
    bad = worst(results)
    crossed = first_crossings(results, bad)
    fell = crossed["easy"]
    early = fell is not None and any((at := crossed[b]) is not None and at < fell for b in BEHAVIOURS)
    numbers = "; ".join(f"{name} {'never' if at is None else f'at step {at}'}" for name, at in crossed.items())
    rows.append(Point(f"3. behaviour first ({_cell(bad)})", numbers, early))
    softer = results.gap(bad.replace("/grpo", "/dr_grpo"), bad, easy=True)
    rows.append(Point(f"4. Dr. GRPO - GRPO, easy problems ({_cell(bad)})", signed(softer), harmed and softer.low > 0))
    total = results.gap("small/M/grpo", "mixture/none")
    gains = {name: results.gap(f"mixture/{name}", "mixture/none") for name in RESTORERS}
    zero = results.gap("mixture/drop_zero_signal", "mixture/none")
    numbers = f"gap {signed(total)}; drop_zero_signal {signed(zero)}; " + "; ".join(
        f"{name} {signed(g)}" for name, g in gains.items()
    )
    restored = any(g.value >= total.value / 2 for g in gains.values())
    rows.append(Point("5. half of the gap restored", numbers, restored if total.low > 0 else "no gap to restore"))
    if results.has("large/H0/grpo"):
        mixed, norm = (results.training("large/H0/grpo", name) for name in ("groups/mixed", "grad_norm"))
        change = results.gap("large/H0/grpo", "base/large")
        flat = (norm == 0).mean() >= 0.5 and abs(change.value) < FALL
        numbers = (
            f"change {signed(change)}; gradient 0 in {(norm == 0).mean():.0%} of updates; mixed {mixed.mean():.1%}"
        )
        rows.append(Point("6. H0 in the large space is flat", numbers, bool(flat)))
    return rows


def _levels(found: list[int]) -> str:
    """Return how many problems of a cell there are, and how many of each level."""
    return f"{len(found)} ({', '.join(str(found.count(level)) for level in range(4))})"


def _cell(arm: str) -> str:
    return arm.split("/")[1]


def arm_table(results: Results) -> str:
    """Return every arm: held-out and easy problems against the base, behaviour, and the training groups."""
    rows_of_table = []
    for arm, rows in results.rows.items():
        base = results.rows[_base(arm)][0]["after"]
        after = {name: np.mean([row["after"][name] for row in rows]) for name in base if name != "right"}
        start = arm.startswith("base/")
        change, easy = ("", "") if start else (signed(results.gap(arm, _base(arm), e)) for e in (False, True))
        training = "" if start else f"{np.mean(results.training(arm, 'groups/mixed')):.2f}"
        silent = "" if start else f"{np.mean(results.training(arm, 'grad_norm') == 0):.2f}"
        rows_of_table.append((
            arm, len(rows), f"{results.right(arm).mean():.3f}", change,
            easy or f"{results.right(arm, True).mean():.3f}",
            *(f"{after[name]:.3f}" for name in BEHAVIOURS),
            f"{np.mean(lucky(rows, results.right(arm))):.3f}", f"{after['length'] / base['length']:.2f}",
            f"{after['four_grams']:.3f}", training, silent,
        ))  # fmt: skip
    return table(
        ("arm", "seeds", "held-out", "change", "easy, change", "repetition", "skipping", "unfaithful", "lucky",
         "length ratio", "4-grams", "mixed groups", "gradient 0"), rows_of_table,
    )  # fmt: skip


def lucky(rows: list[dict[str, Any]], right_SP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each seed the share of all completions that are right with a false step."""
    return np.array([row["after"]["unfaithful"] for row in rows]) * right_SP.mean(1)


def _base(arm: str) -> str:
    return f"base/{space_of(arm)}"


@styled
def figure(results: Results) -> Figure:
    """Draw the held-out change of each cell, space and norm, and the behaviour of the worst cell over steps."""
    fig = new_figure(5.6)
    axes = fig.subplots(2, 2)
    for ax, space in zip(axes[0], ("small", "large"), strict=True):
        ax.axhline(0, color=GREY, linewidth=1)
        for j, (norm, colour, marker) in enumerate((("grpo", BLUE, "o"), ("dr_grpo", RED, "s"))):
            for i, cell in enumerate(CELLS):
                arm, at = f"{space}/{cell}/{norm}", i + 0.24 * j - 0.12
                if not results.has(arm):
                    continue
                found = results.gap(arm, f"base/{space}")
                draw_interval(ax, at, found, colour)
                label = {"grpo": "GRPO", "dr_grpo": "Dr. GRPO"}[norm] if i == 0 else None
                ax.plot(at, found.value, marker, color=colour, markersize=5, label=label, linestyle="none")
                seeds = results.right(arm).mean(1) - results.right(f"base/{space}").mean()
                ax.plot([at + 0.07] * len(seeds), seeds, ".", color=colour, markersize=4, alpha=0.5)
        ax.set_xticks(range(len(CELLS)), list(CELLS))
        ax.set(title=f"{space} answer space", ylabel="held-out pass@1 − base")
    axes[0][0].legend(loc="best")
    for ax, arm in zip(axes[1], ("small/H0/grpo", "small/Hlow/grpo"), strict=True):
        ax.axhline(0, color=GREY, linewidth=1)
        steps = [*results.steps(arm), len(results.rows[arm][0]["train"]["accuracy"])]
        ats = [*results.steps(arm), None]
        easy = [results.gap(arm, "base/small", True, s) for s in ats]
        lines = {"easy problems, pass@1": ([g.value for g in easy], BLUE, "o")}
        for name, colour, marker in zip(BEHAVIOURS, (ORANGE, GREEN, RED), "sD^", strict=True):
            lines[name] = ([results.behaviour(arm, name, s).mean() for s in ats], colour, marker)
        for label, (values, colour, marker) in lines.items():
            ax.plot([0, *steps], [0, *values], color=colour, marker=marker, markersize=4, label=label)
        ax.set(title=f"trained on {_cell(arm)}, small space", xlabel="update", ylabel="change from base")
    handles, labels = axes[1][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4)
    return fig


def load() -> Results:
    """Return the stored results; FileNotFoundError where an arm of the page is missing."""
    results = Results()
    if missing := [arm for arm in NEEDED if not results.has(arm)]:
        raise FileNotFoundError(f"no stored run of {', '.join(missing)}")
    return results


def page(results: Results) -> Page:
    """Return what the results say."""
    found = points(results)
    held = [all(p.held is True for p in found if p.claim.startswith(f"{i}.")) for i in range(1, 6)]
    trained = [arm for arm in results.rows if not arm.startswith("base/")]
    best = max((results.gap(arm, _base(arm)) for arm in trained), key=lambda gap: gap.value)
    updates = len(results.rows["small/M/grpo"][0]["train"]["accuracy"])
    cells = [
        (f"{space}, {split}",
         *(_levels([i % 4 for i, c in enumerate(counts) if low <= c <= high]) for low, high in CELLS.values()),
         f"{np.mean(counts) / 16:.3f}")
        for space, splits in results.profile.items() for split, counts in splits.items()
    ]  # fmt: skip
    easy = {
        "m_base": ("small/M/grpo", "base/small"), "h0_m": ("small/H0/grpo", "small/M/grpo"),
        "hlow_m": ("small/Hlow/grpo", "small/M/grpo"),
    }  # fmt: skip
    values = {
        **{name: signed(results.gap(*pair, True)) for name, pair in easy.items()}, "updates": updates,
        "completions": 64 * updates, "best": signed(best), "cells": lines(cells), "table": arm_table(results),
        "minutes": results.seconds / 60, "runs": sum(len(results.rows[arm]) for arm in trained),
    }  # fmt: skip
    claims = {"harm": "not testable here"}
    return Page(found, claims, {"cells.svg": figure(results)}, values, outcome(held), sum(held))


FINDING = Finding("near_impossible", load, page, difficulty_runs.rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
