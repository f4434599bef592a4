"""Finding: a shallow tower keeps a ranker from believing its own past (papers.md 6; doi 10.1145/3298689.3346997).

    python scripts/findings/rank_bias.py            redraw from the committed results
    python scripts/findings/rank_bias.py --rerun    run every seed again first (about 8 minutes of one core)

The criterion, in pages/rank_bias.md, was committed before the run. Settings were tried on seeds 98 and 99, which are
not among the ten, and their outcomes were seen before it was written.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
from finding import REPO, Finding, Page, Point, lines, name_points, run_all_again
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from parts.rank_arms import AGREEMENTS, LISTS, ROUND_LISTS, ROUNDS, conflict, loop, one_log

from rlvr.core.files import write_whole
from rlvr.decide.ranking.simulate import World
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, styled

RESULTS = REPO / "docs" / "findings" / "rank_bias" / "results.json"
SEEDS = range(10)
GENERATORS = ("pbm", "additive")
MARGIN = 0.01  # of top-1 relevance, of NDCG, and (relative) of the objectives' loss


def measure(seed: int) -> dict[str, Any]:
    """Run every experiment under one seed."""
    start = time.process_time()
    found: dict[str, Any] = {
        "logs": {generator: one_log(generator, seed) for generator in GENERATORS},
        "loop": loop(seed),
        "conflict": {name: conflict(agreement, seed) for name, agreement in AGREEMENTS.items()},
    }
    return {**rounded(found), "cpu_seconds": time.process_time() - start}


def rerun(options: argparse.Namespace) -> None:
    """Run every seed and store what was measured."""
    tasks = [{"seed": seed} for seed in SEEDS]
    with run_all_again(REPO / "runs" / "finding-rank_bias", tasks, measure, options.jobs) as rows:
        found = {
            "logs": {generator: [r["logs"][generator] for r in rows] for generator in GENERATORS},
            "loop": [r["loop"] for r in rows],
            "conflict": {name: [r["conflict"][name] for r in rows] for name in AGREEMENTS},
            "cpu_seconds": round(sum(r["cpu_seconds"] for r in rows)),
        }
        write_whole(RESULTS, json.dumps(found))


def rounded(value: Any) -> Any:
    """Return the results with five decimals."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 5) if isinstance(value, float) else value


def over_seeds(values: ArrayLike) -> Interval:
    """Return the mean over seeds with its 95% t interval."""
    return t_interval(values)[0]


def of(runs: list[dict], arm: str, key: str) -> np.ndarray:
    """Return what an arm measured in each seed."""
    return np.array([run[arm][key] for run in runs])


def judge(found: dict[str, Any]) -> list[Point]:
    """Return each point of the criterion."""
    points = []
    against = {"naive": 0.0, "position feature": -MARGIN}
    for i, (other, bound) in enumerate(against.items(), 1):
        gaps = {
            f"{generator} {key}": over_seeds(of(runs, "tower 10%", key) - of(runs, other, key))
            for generator, runs in found["logs"].items()
            for key in ("top1", "ndcg")
        }
        text = "; ".join(f"{name} {gap}" for name, gap in gaps.items())
        points.append(Point(f"{i}. tower - {other}", text, all(gap.low > bound for gap in gaps.values())))
    curves = {g: of(runs, "tower 10%", "curve").mean(0) for g, runs in found["logs"].items()}
    rhos = {g: of(runs, "tower 10%", "spearman").mean() for g, runs in found["logs"].items()}
    steps = {g: np.diff(curve).max() for g, curve in curves.items()}
    text = "; ".join(f"{g}: largest step {steps[g]:+.3f}, correlation {rhos[g]:.3f}" for g in curves)
    points.append(Point("3. curve", text, max(steps.values()) <= 0 and min(rhos.values()) > 0.9))
    gaps = {g: over_seeds(of(r, "tower 10%", "ece") - of(r, "tower 0%", "ece")) for g, r in found["logs"].items()}
    text = "; ".join(f"{g} {gap}" for g, gap in gaps.items())
    points.append(Point("4. ECE, dropout 10% - 0%", text, all(gap.high < 0 for gap in gaps.values())))
    last = {arm: of(found["loop"], arm, "top1")[:, -1] for arm in ("naive", "tower 10%")}
    gap = over_seeds(last["tower 10%"] - last["naive"])
    points.append(Point("5. tower - naive, round ten", str(gap), gap.low > 0))
    runs = found["conflict"]["conflicting"]
    base = of(runs, "shared bottom", "total")
    gap = over_seeds(of(runs, "mmoe", "total") / base.mean() - base / base.mean())
    points.append(Point("6. MMoE / shared bottom - 1", str(gap), gap.high < MARGIN))
    return points


def page(found: dict[str, Any]) -> Page:
    """Return what the results say."""
    points = judge(found)
    names = (
        "tower above no correction", "tower no worse than a position feature", "the curve", "calibration by dropout",
        "the feedback loop", "the mixture of experts",
    )  # fmt: skip
    values = {
        "arms": arm_table(found), "loops": loop_table(found), "conflicts": conflict_table(found),
        "gates": gate_text(found), "lists": LISTS, "rounds": ROUNDS, "round_lists": ROUND_LISTS,
        "seconds": found["cpu_seconds"],
    }  # fmt: skip
    return Page(points, name_points(names, points), {"rank_bias.svg": draw(found)}, values)


def arm_table(found: dict[str, Any]) -> str:
    """Return top-1, NDCG, curve correlation and ECE of every arm on both generators."""
    rows = []
    for arm in found["logs"]["pbm"][0]:
        cells = []
        for runs in found["logs"].values():
            for key in ("top1", "ndcg", "spearman", "ece"):
                cells.append(f"{of(runs, arm, key).mean():.3f}" if key in runs[0][arm] else "")
        rows.append((arm, *cells))
    return lines(rows)


def loop_table(found: dict[str, Any]) -> str:
    """Return top-1 and the correlation with x3 in the first, the fifth and the last round."""
    rows = []
    for arm in found["loop"][0]:
        top1, x3 = of(found["loop"], arm, "top1"), of(found["loop"], arm, "x3")
        cells = [str(over_seeds(top1[:, i])) for i in (0, 4, -1)] + [f"{x3[:, i].mean():+.3f}" for i in (0, 4, -1)]
        rows.append((arm, *cells))
    return lines(rows)


def conflict_table(found: dict[str, Any]) -> str:
    """Return the losses of both shapes, and their paired difference."""
    rows = []
    for name, runs in found["conflict"].items():
        for key in ("correct", "cost", "total"):
            gap = over_seeds(of(runs, "mmoe", key) - of(runs, "shared bottom", key))
            means = [f"{of(runs, arm, key).mean():.3f}" for arm in ("mmoe", "shared bottom")]
            rows.append((name, key, *means, gap))
    return lines(rows)


def gate_text(found: dict[str, Any]) -> str:
    """Return gate entropy, and how often an expert was left unused or one took all, in words."""
    lines = []
    for name, runs in found["conflict"].items():
        entropy, share = of(runs, "mmoe", "entropy"), of(runs, "mmoe", "share")  # (seeds, objectives[, experts])
        lines.append(
            f"{name}: entropy {entropy[:, 0].mean():.2f} (correct) and {entropy[:, 1].mean():.2f} (cost); the largest "
            f"mean share of one expert in any seed is {share.max():.2f}, the smallest {share.min():.3f}"
        )
    return "; ".join(lines)


@styled
def draw(found: dict[str, Any]) -> Figure:
    """Draw top-1 per arm, the learned curves, and the loop."""
    fig = new_figure(6.4)
    (one, two), (three, four) = fig.subplots(2, 2)
    names = [name for name in found["logs"]["pbm"][0] if not name.startswith("the ")]
    for g, runs in enumerate(found["logs"].values()):
        colour, marker = look(g)
        for i, name in enumerate(names):
            interval = over_seeds(of(runs, name, "top1"))
            y = i + 0.2 * (2 * g - 1)
            draw_interval(one, y, interval, colour, horizontal=True)
            one.plot(interval.value, y, marker, color=colour, markersize=4, label=GENERATORS[g] if not i else None)
    best = of(found["logs"]["pbm"], "the true relevance", "top1").mean()
    one.axvline(best, color=GREY, linestyle="--", linewidth=1)
    one.set(title="one log: relevance of the first", xlabel="top-1 relevance (dashed: best possible)")
    one.set_yticks(range(len(names)), names)
    one.invert_yaxis()
    one.legend(loc="lower left")
    ranks = np.arange(1, 9)
    two.plot(ranks, World().curve(), color=GREY, linestyle="--", label="truth")
    for g, (generator, runs) in enumerate(found["logs"].items()):
        colour, marker = look(g)
        curves = of(runs, "tower 10%", "curve")
        two.plot(ranks, curves.mean(0), color=colour, marker=marker, markersize=4, label=f"tower, {generator}")
        two.fill_between(ranks, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0)
    two.set(title="what a position adds (band: all seeds)", xlabel="position", ylabel="nats")
    two.legend()
    for axis, key, label in ((three, "top1", "top-1 relevance"), (four, "x3", "correlation with x3")):
        for a, arm in enumerate(found["loop"][0]):
            colour, marker = look(a + 2)
            runs = of(found["loop"], arm, key)
            rounds = np.arange(1, runs.shape[1] + 1)
            axis.plot(rounds, runs.mean(0), color=colour, marker=marker, markersize=4, label=arm)
            bounds = [over_seeds(column) for column in runs.T]
            axis.fill_between(
                rounds, [b.low for b in bounds], [b.high for b in bounds], color=colour, alpha=0.15, linewidth=0
            )
        axis.set(xlabel="round", ylabel=label)
    three.set_title("trained on its own log")
    four.set_title("how much it likes what nobody needs")
    three.legend()
    return fig


FINDING = Finding("rank_bias", lambda: json.loads(RESULTS.read_text(encoding="utf-8")), page, rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
