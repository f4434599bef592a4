"""Finding: do near-impossible problems harm, are medium ones best, and what restores? (2605.28388)

    python scripts/findings/near_impossible.py            redraw from the stored results
    python scripts/findings/near_impossible.py --rerun    train and measure whatever is not stored yet

The problems: parts/difficulty_cells.py. The arms: parts/difficulty_runs.py. To start from nothing, remove
docs/findings/near_impossible/ first. The criterion below was committed before the main run; settings were chosen on
the warmed-up model and one arm (the unfiltered mixture), seed 900.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.difficulty_cells import CELLS, MIXED, measured
from parts.difficulty_page import PAGE_TEXT
from parts.verdict import verdict_lines

from rlvr.measure.metrics import Interval, bootstrap_mean
from rlvr.measure.metrics.seeds import seed_difference
from rlvr.measure.plots.style import BLUE, GREEN, GREY, ORANGE, RED, draw_interval, figure_svg, new_figure, styled
from rlvr.report import show

REPO = Path(__file__).parents[2]
STORE = REPO / "docs" / "findings" / "near_impossible"
PAGE = STORE.with_suffix(".md")
ROWS, PROFILE = STORE / "runs.jsonl", STORE / "profile.json"
N, FALL, RISE = 8, 0.02, 0.03
BEHAVIOURS = ("repetition", "skipping", "unfaithful")
RESTORERS = ("drop_near_impossible", "band", "rewritten")

CRITERION = """\
Five seeds (0 to 4). Values are pass@1 on held-out problems (8 samples each, the same noise for every model); "easy"
ones are those that the warmed-up model ("base") solved 13 times or more of 16 in the profile, measured afresh.
Intervals are 95% bootstraps over seeds and problems (`seed_difference`), of behaviours over seeds.
H0: 0 of 16 right in the profile, Hlow: 1 or 2, M: 3 to 12, E: 13 to 16. GRPO scales by the group's standard deviation
unless said.

1. M is best: on the mixed held-out problems, M minus each of H0, Hlow and E has an interval above 0. Judged for the
   small and the large answer space; held only if it holds in both.
2. Harm: in the small space the easy problems fall to 2 points or more below the base after training on H0 or on Hlow,
   with an interval below 0.
3. Behaviour first: in that one of H0 and Hlow (small space) that keeps less of the easy problems, at least one of
   answer repetition, computation skipping and unfaithful success has risen by 0.03 or more over the base (mean over
   seeds, interval above 0) at an earlier measured update (3, 6, 9, 12) than the first at which the easy problems have
   lost 2 points. Not held if they never lose 2 points.
4. Dr. GRPO harms less: for that cell, the easy problems with Dr. GRPO minus GRPO: interval above 0 (and point 2
   holds).
5. Restoration: the gap is M minus the unfiltered mixture (half H0 and Hlow, half M and E) in the small space, mixed
   held-out. At least one of drop_near_impossible, the band [0.2, 0.8] and the rewrites restores half of it or more.
   If the gap's interval is not above 0, there is no gap to restore, and the point is not held.
6. No signal: H0 in the large space has gradient 0 in at least half of its updates and moves the mixed held-out
   problems by less than 2 points. This names a regime and does not count in the verdict.

Reproduced: 1 to 5. Partly: some of them. Not: none."""


class Results:
    """The stored runs, as right answers in [0, 1] per seed and held-out problem, and as behaviour per seed."""

    def __init__(self) -> None:
        rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
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
        space = _space(arm)
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


def points(results: Results) -> list[tuple[str, str, str]]:
    """Return (claim, numbers, verdict) for each point of the criterion that can be judged."""
    rows = []
    for space in ("small", "large"):
        cells = {c: f"{space}/{c}/grpo" for c in CELLS}
        if results.has(*cells.values()):
            gaps = {c: results.gap(cells["M"], arm) for c, arm in cells.items() if c != "M"}
            numbers = "; ".join(f"M - {c} {_signed(g)}" for c, g in gaps.items())
            rows.append((f"1. M is best, {space} space", numbers, _held(all(g.low > 0 for g in gaps.values()))))
        else:
            rows.append((f"1. M is best, {space} space", "not all arms were run", "not judged"))
    harm = {c: results.gap(f"small/{c}/grpo", "base/small", easy=True) for c in ("H0", "Hlow")}
    harmed = any(g.value <= -FALL and g.high < 0 for g in harm.values())
    numbers = "; ".join(f"{c} - base {_signed(g)}" for c, g in harm.items())
    rows.append(("2. easy problems lost, small space", numbers, _held(harmed)))
    bad = worst(results)
    crossed = first_crossings(results, bad)
    fell = crossed["easy"]
    early = fell is not None and any((at := crossed[b]) is not None and at < fell for b in BEHAVIOURS)
    numbers = "; ".join(f"{name} {'never' if at is None else f'at step {at}'}" for name, at in crossed.items())
    rows.append((f"3. behaviour first ({_cell(bad)})", numbers, _held(early)))
    softer = results.gap(bad.replace("/grpo", "/dr_grpo"), bad, easy=True)
    rows.append(
        (f"4. Dr. GRPO - GRPO, easy problems ({_cell(bad)})", _signed(softer), _held(harmed and softer.low > 0))
    )
    total = results.gap("small/M/grpo", "mixture/none")
    gains = {name: results.gap(f"mixture/{name}", "mixture/none") for name in RESTORERS}
    zero = results.gap("mixture/drop_zero_signal", "mixture/none")
    numbers = f"gap {_signed(total)}; drop_zero_signal {_signed(zero)}; " + "; ".join(
        f"{name} {_signed(g)}" for name, g in gains.items()
    )
    restored = any(g.value >= total.value / 2 for g in gains.values())
    rows.append(("5. half of the gap restored", numbers, _held(restored) if total.low > 0 else "no gap to restore"))
    if results.has("large/H0/grpo"):
        mixed, norm = (results.training("large/H0/grpo", name) for name in ("groups/mixed", "grad_norm"))
        change = results.gap("large/H0/grpo", "base/large")
        flat = (norm == 0).mean() >= 0.5 and abs(change.value) < FALL
        numbers = (
            f"change {_signed(change)}; gradient 0 in {(norm == 0).mean():.0%} of updates; mixed {mixed.mean():.1%}"
        )
        rows.append(("6. H0 in the large space is flat", numbers, _held(bool(flat))))
    return rows


def _held(ok: bool) -> str:
    return "yes" if ok else "no"


def _signed(found: Interval) -> str:
    return show.interval(found, 3, signed=True)


def _levels(found: list[int]) -> str:
    """Return how many problems of a cell there are, and how many of each level."""
    return f"{len(found)} ({', '.join(str(found.count(level)) for level in range(4))})"


def _cell(arm: str) -> str:
    return arm.split("/")[1]


def table(results: Results) -> str:
    """Return every arm: held-out and easy problems against the base, behaviour, and the training groups."""
    lines = [
        "| arm | seeds | held-out | change | easy, change | repetition | skipping | unfaithful | lucky | "
        "length ratio | 4-grams | mixed groups | gradient 0 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, rows in results.rows.items():
        base = results.rows[_base(arm)][0]["after"]
        after = {name: np.mean([row["after"][name] for row in rows]) for name in base if name != "right"}
        start = arm.startswith("base/")
        change, easy = ("", "") if start else (_signed(results.gap(arm, _base(arm), e)) for e in (False, True))
        training = "" if start else f"{np.mean(results.training(arm, 'groups/mixed')):.2f}"
        silent = "" if start else f"{np.mean(results.training(arm, 'grad_norm') == 0):.2f}"
        cells = (
            arm, len(rows), f"{results.right(arm).mean():.3f}", change,
            easy or f"{results.right(arm, True).mean():.3f}",
            *(f"{after[name]:.3f}" for name in BEHAVIOURS),
            f"{np.mean(lucky(rows, results.right(arm))):.3f}", f"{after['length'] / base['length']:.2f}",
            f"{after['four_grams']:.3f}", training, silent,
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def lucky(rows: list[dict[str, Any]], right_SP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each seed the share of all completions that are right with a false step."""
    return np.array([row["after"]["unfaithful"] for row in rows]) * right_SP.mean(1)


def _space(arm: str) -> str:
    return "large" if "large" in arm else "small"


def _base(arm: str) -> str:
    return f"base/{_space(arm)}"


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


def wrong(results: Results, verdict: str, held: int) -> str:
    """Return what was wrong with this design, and what the criterion says all the same."""
    best = max(
        (results.gap(arm, f"base/{'large' if arm.startswith('large') else 'small'}") for arm in results.rows
         if not arm.startswith("base/")), key=lambda gap: gap.value,
    )  # fmt: skip
    updates = len(results.rows["small/M/grpo"][0]["train"]["accuracy"])
    return f"""What was wrong with the design: no run learned. In {updates} updates of 64 ({64 * updates} completions)
        no arm rose above the base on the held-out problems (the best of them, {_signed(best)}), medium problems
        included: where nothing gains, harm is not told from the noise of the updates, and there is nothing to restore.
        No arm with a random reward was run beside them. By the criterion below: {verdict}, {held} of 5 points."""


def redraw() -> None:
    """Write the page and its figure from the stored results."""
    if not (ROWS.is_file() and PROFILE.is_file()):
        print(f"No results in {STORE.relative_to(REPO)}: run with --rerun.")
        return
    results = Results()
    needed = [f"small/{c}/{norm}" for c in CELLS for norm in ("grpo", "dr_grpo")]
    needed += [f"mixture/{name}" for name in ("none", "drop_zero_signal", *RESTORERS)]
    if missing := [arm for arm in ("base/small", *needed) if not results.has(arm)]:
        print(f"Nothing drawn: no stored run of {', '.join(missing)}.")
        return
    found = points(results)
    held = {str(i): [h for claim, _, h in found if claim.startswith(f"{i}.")] for i in range(1, 6)}
    main = ["yes" if all(h == "yes" for h in verdicts) else "no" for verdicts in held.values()]
    verdict = (
        "reproduced" if all(h == "yes" for h in main) else "partly reproduced" if "yes" in main else "not reproduced"
    )
    (STORE / "cells.svg").write_text(figure_svg(figure(results)), encoding="utf-8")
    cells = "\n".join(
        f"| {space}, {split} | "
        + " | ".join(_levels([i % 4 for i, c in enumerate(counts) if low <= c <= high]) for low, high in CELLS.values())
        + f" | {np.mean(counts) / 16:.3f} |"
        for space, splits in results.profile.items()
        for split, counts in splits.items()
    )
    text = PAGE_TEXT.format(
        verdict=verdict_lines({"harm": "not testable here"}, wrong(results, verdict, main.count("yes"))),
        m_base=_signed(results.gap("small/M/grpo", "base/small", True)),
        h0_m=_signed(results.gap("small/H0/grpo", "small/M/grpo", True)),
        hlow_m=_signed(results.gap("small/Hlow/grpo", "small/M/grpo", True)),
        criterion=CRITERION, cells=cells, table=table(results),
        rows="\n".join(f"| {claim} | {numbers} | {held} |" for claim, numbers, held in found),
        minutes=results.seconds / 60, runs=sum(len(r) for a, r in results.rows.items() if not a.startswith("base/")),
    )  # fmt: skip
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(REPO)}: {verdict}")


def main() -> None:
    """Rerun if asked, then redraw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rerun", action="store_true", help="train and measure what is not stored yet")
    args = parser.parse_args()
    os.chdir(REPO)
    if args.rerun:
        from parts import difficulty_runs

        if not PROFILE.is_file():
            difficulty_runs.profile(PROFILE)
        difficulty_runs.run(ROWS, list(difficulty_runs.arms()), difficulty_runs.SEEDS)
    redraw()


if __name__ == "__main__":
    main()
