"""Finding: a shallow tower keeps a ranker from believing its own past (papers.md 6; doi 10.1145/3298689.3346997).

    python scripts/findings/rank_bias.py            redraw from the committed results
    python scripts/findings/rank_bias.py --rerun    run what is missing first (about 20 minutes of one core)

The criterion is in pages/rank_bias.md; it was committed before the first of the seeds that are judged. The experiments
are in parts/rank_arms.py. Real completions in place of simulated candidates: rank_completions.py.
"""

import argparse
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, Point, detectable, judge, lines, read_rows, run_tasks, signed
from finding.tables import table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts.rank_arms import (
    EXPLORATION,
    LISTS,
    OBJECTIVE_FIT,
    ROUND_LISTS,
    ROUND_UPDATES,
    ROUNDS,
    SHAPES,
    STARTS,
    loop,
    objectives,
    objectives_pilot,
    one_log,
)  # fmt: skip

from rlvr.decide.ranking.simulate import World
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, styled

STORE = REPO / "docs" / "findings" / "rank_bias"
PILOTS, ROWS = STORE / "pilots.jsonl", STORE / "rows.jsonl"
PILOT_SEEDS = range(900, 903)
SEEDS, OBJECTIVE_SEEDS = range(100, 120), range(100, 130)
GENERATORS = ("pbm", "additive")
MARGIN, EXPERT_MARGIN, CURVE = 0.01, 0.03, 0.9
EXPERIMENTS = ("logs", "loop", "objectives")


def measure(experiment: str, seed: int) -> dict[str, Any]:
    """Run one experiment under one seed."""
    if experiment == "logs":
        measured: dict[str, Any] = {generator: one_log(generator, seed) for generator in GENERATORS}
    else:
        measured = loop(seed) if experiment == "loop" else objectives(seed)
    return {"measured": rounded(measured)}


def tasks(experts: bool) -> list[dict[str, Any]]:
    """Return what is to be run; without the experts where one of their gates failed."""
    seeds = {"logs": SEEDS, "loop": SEEDS} | ({"objectives": OBJECTIVE_SEEDS} if experts else {})
    return [{"experiment": name, "seed": seed} for name, of_it in seeds.items() for seed in of_it]


def expert_gates() -> list[Gate]:
    """Return what the experts' design must meet, from the stored pilots."""
    pilots = read_rows(PILOTS)

    def mean_of(name: str) -> float:
        return float(np.mean([row[name] for row in pilots])) if pilots else float("nan")

    return [
        Gate(
            "experts: the shared bottom's loss over two networks of its shape, minus 1", mean_of("conflict"), low=0.05
        ),
        Gate("experts: loss over that after twice the epochs, minus 1", mean_of("unfinished"), high=0.03),
        Gate("experts: share of the busiest expert", mean_of("busiest"), high=0.7),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Run what is missing: the experts' pilots, then all experiments whose gates are passed."""
    run_tasks(PILOTS, [{"seed": seed} for seed in PILOT_SEEDS], objectives_pilot, options.jobs)
    run_tasks(ROWS, tasks(all(gate.passed for gate in expert_gates())), measure, options.jobs)


def rounded(value: Any) -> Any:
    """Return the results with five decimals."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 5) if isinstance(value, float) else value


def load() -> dict[str, list[dict[str, Any]]]:
    """Return experiment -> what each seed measured; FileNotFoundError while a run is missing."""
    stored = {(row["experiment"], row["seed"]): row["measured"] for row in read_rows(ROWS)}
    wanted = tasks(all(gate.passed for gate in expert_gates()))
    if missing := {(task["experiment"], task["seed"]) for task in wanted} - stored.keys():
        raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {ROWS}")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in EXPERIMENTS}
    for task in wanted:
        results[task["experiment"]].append(stored[task["experiment"], task["seed"]])
    return results


def of(runs: list[dict[str, Any]], *path: str) -> NDArray[np.float64]:
    """Return what lies at a path of keys in each seed's results."""
    values = []
    for run in runs:
        value: Any = run
        for key in path:
            value = value[key]
        values.append(value)
    return np.array(values)


def over_seeds(values: NDArray[np.float64]) -> Interval:
    """Return the mean over seeds with its 95% t interval."""
    return t_interval(values, 0.95)[0]


def endpoints(results: dict[str, list[dict[str, Any]]]) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    logs, rounds, experts = (results[name] for name in EXPERIMENTS)

    def gap(generator: str, key: str, a: str, b: str) -> list[float]:
        return list(of(logs, generator, a, key) - of(logs, generator, b, key))

    area = of(rounds, "tower 10%", "top1") - of(rounds, "naive", "top1")  # (seeds, rounds)
    others = [Endpoint("2. the loop, round ten: tower - naive", list(area[:, -1]), above=-MARGIN)]
    for g in GENERATORS:
        others += [
            Endpoint(f"3. {g}, one log: tower - naive", gap(g, "top1", "tower 10%", "naive")),
            Endpoint(
                f"4. {g}, one log: tower - position feature", gap(g, "top1", "tower 10%", "position feature"), -MARGIN
            ),
            Endpoint(f"5. {g}: correlation of the tower's curve", list(of(logs, g, "tower 10%", "spearman")), CURVE),
            Endpoint(f"6. {g}: ECE without dropout - with 10%", gap(g, "ece", "tower 0%", "tower 10%")),
        ]
    if experts:
        ratio = of(experts, "shared bottom", "total") / of(experts, "mmoe", "total") - 1
        others.append(Endpoint("7. experts: loss of the shared bottom / MMoE - 1", list(ratio), -EXPERT_MARGIN))
    return Endpoint("1. the loop, mean over ten rounds: tower - naive", list(area.mean(1))), others


def page(results: dict[str, list[dict[str, Any]]]) -> Page:
    """Return what the results say."""
    primary, others = endpoints(results)
    points = judge(primary, others)
    held = {point.claim[0]: True for point in points}
    for point in points:
        held[point.claim[0]] &= bool(point.held)
    failed = [gate for gate in expert_gates() if not gate.passed]
    if failed:
        points.append(Point("7. experts", "; ".join(gate.what for gate in failed), "not testable here"))
    sd = float(np.std(primary.values_S, ddof=1))
    claims: dict[str, bool | str] = {
        "the feedback loop": held["1"],
        "no loss at its end": held["2"],
        "tower above no correction": held["3"],
        "tower no worse than a position feature": held["4"],
        "the curve": held["5"],
        "calibration by dropout": held["6"],
        "the mixture of experts": held.get("7", "not testable here"),
    }
    gates = [(g.what, f"{g.value:.3g}", g.asked, "yes" if g.passed else "no") for g in expert_gates()]
    values = {
        "sd": sd, "sees": detectable(sd, len(SEEDS)), "arms": arm_table(results["logs"]),
        "loops": loop_table(results["loop"]), "experts": expert_table(results["objectives"]),
        "expert_gates": table(("gate", "measured", "asked", "passed"), gates),
    }  # fmt: skip
    return Page(points, claims, {"rank_bias.svg": draw(results)}, values)


def arm_table(logs: list[dict[str, Any]]) -> str:
    """Return top-1, NDCG, curve correlation and ECE of every arm on both generators."""
    rows = []
    for arm in logs[0]["pbm"]:
        cells = []
        for g in GENERATORS:
            for key in ("top1", "ndcg", "spearman", "ece"):
                cells.append(f"{of(logs, g, arm, key).mean():.3f}" if key in logs[0][g][arm] else "")
        rows.append((arm, *cells))
    return lines(rows)


def loop_table(rounds: list[dict[str, Any]]) -> str:
    """Return top-1 and the correlation with x3 in the first, the fifth and the last round, and the mean over all."""
    rows = []
    for arm in rounds[0]:
        top1, x3 = of(rounds, arm, "top1"), of(rounds, arm, "x3")
        cells = [str(over_seeds(values)) for values in (top1[:, 0], top1[:, 4], top1[:, -1], top1.mean(1))]
        rows.append((arm, *cells, *(f"{x3[:, i].mean():+.3f}" for i in (0, 4, -1))))
    return lines(rows)


def expert_table(experts: list[dict[str, Any]]) -> str:
    """Return the losses of both shapes, their paired difference, and how the gates are used."""
    if not experts:
        return "No expert was trained: a gate failed."
    rows = [
        (
            key,
            *(f"{of(experts, shape, key).mean():.4f}" for shape in SHAPES),
            signed(over_seeds(of(experts, "mmoe", key) - of(experts, "shared bottom", key)), 4),
        )
        for key in ("correct", "cost", "total")
    ]
    entropy, share = of(experts, "mmoe", "entropy"), of(experts, "mmoe", "share").mean(1)
    said = (
        f"Gate entropy {entropy[:, 0].mean():.2f} (correct) and {entropy[:, 1].mean():.2f} (cost); the busiest expert "
        f"has {share.max(1).mean():.2f} of both objectives on average, {share.max():.2f} in the worst seed."
    )
    return table(("loss", *SHAPES, "difference [95%]"), rows) + "\n\n" + said


@styled
def draw(results: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw top-1 per arm, the learned curves, and the loop."""
    logs, rounds, _ = (results[name] for name in EXPERIMENTS)
    fig = new_figure(6.4)
    (one, two), (three, four) = fig.subplots(2, 2)
    names = [name for name in logs[0]["pbm"] if not name.startswith("the ")]
    for g, generator in enumerate(GENERATORS):
        colour, marker = look(g)
        for i, name in enumerate(names):
            interval = over_seeds(of(logs, generator, name, "top1"))
            y = i + 0.2 * (2 * g - 1)
            draw_interval(one, y, interval, colour, horizontal=True)
            one.plot(interval.value, y, marker, color=colour, markersize=4, label=generator if not i else None)
    best = of(logs, "pbm", "the true relevance", "top1").mean()
    one.axvline(best, color=GREY, linestyle="--", linewidth=1)
    one.set(title="one log: relevance of the first", xlabel="top-1 relevance (dashed: best possible)")
    one.set_yticks(range(len(names)), names)
    one.invert_yaxis()
    one.legend(loc="lower left")
    ranks = np.arange(1, 9)
    two.plot(ranks, World().curve(), color=GREY, linestyle="--", label="truth")
    for g, generator in enumerate(GENERATORS):
        colour, marker = look(g)
        curves = of(logs, generator, "tower 10%", "curve")
        two.plot(ranks, curves.mean(0), color=colour, marker=marker, markersize=4, label=f"tower, {generator}")
        two.fill_between(ranks, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0)
    two.set(title="what a position adds (band: all seeds)", xlabel="position", ylabel="nats")
    two.legend()
    for axis, key, label in ((three, "top1", "top-1 relevance"), (four, "x3", "correlation with x3")):
        for a, arm in enumerate(rounds[0]):
            colour, marker = look(a + 2)
            runs = of(rounds, arm, key)
            numbers = np.arange(1, runs.shape[1] + 1)
            axis.plot(numbers, runs.mean(0), color=colour, marker=marker, markersize=4, label=arm)
            bounds = [over_seeds(column) for column in runs.T]
            low, high = [b.low for b in bounds], [b.high for b in bounds]
            axis.fill_between(numbers, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set(xlabel="round", ylabel=label)
    three.set_title("trained on all its logs so far")
    four.set_title("how much it likes what nobody needs")
    three.legend()
    return fig


SETTINGS = {
    "lists": LISTS, "rounds": ROUNDS, "round_lists": ROUND_LISTS, "updates": ROUND_UPDATES, "exploration": EXPLORATION,
    "seeds": len(SEEDS), "objective_seeds": len(OBJECTIVE_SEEDS), "starts": STARTS, "epochs": OBJECTIVE_FIT["epochs"],
    "margin": EXPERT_MARGIN,
}  # fmt: skip
FINDING = Finding("rank_bias", load, page, rerun, settings=SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
