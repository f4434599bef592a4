"""Finding: a student that chooses among rewrites learns more than from all of them (2402.10110), and after verifying?

    python scripts/findings/student_selected.py            redraw from the committed results
    python scripts/findings/student_selected.py --rerun    run what is missing: pilots and gates, then eight seeds

The criterion is in pages/student_selected.md; it was committed before the first pilot of an arm. What the teacher and
the students are: parts/student_rows.py. SmolLM2-135M as the student, three seeds: parts/student_smollm2.py.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import student_rows as rows_of
from parts.student_arms import ARMS, Scores, chosen, told, unimproved
from parts.supervised import BARE, fit

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled
from rlvr.select.ifd import score_pairs
from rlvr.select.student import StudentSelector, candidates, mismatched

STORE = REPO / "docs" / "findings" / "student_selected"
PILOTS, POOLS, RUNS, SECOND = (STORE / f"{name}.jsonl" for name in ("pilots", "pools", "runs", "smollm2"))
PILOT_WORLDS = (900, 901)
WORLDS = {301: (1, 2), 302: (3, 4), 303: (5, 6), 304: (7, 8)}  # a base, a table and a pool -> the seeds of its training
RATES = (3e-4, 1e-3, 3e-3)
POOL, ROWS, STEPS, BATCH = 2000, 600, 150, 16  # rows in the pool; distinct rows an arm trains on; updates; their rows
VALIDATION, TEST = 400, 1000
BORROWED = {"other_student": "student"}  # chooses as another student would; trained as its like is

Row = Mapping[str, Any]


def pool(world: int) -> dict[str, Any]:
    """Score a world's pool by its student and by another world's, and return what every arm may choose from."""
    rows = rows_of.teach(world, POOL, random.Random(f"pool/{world}"))
    scores: dict[str, Scores] = {}
    for name, judge_world in {"student": world, "other_student": _neighbour(world)}.items():
        model, tokenizer = rows_of.base(judge_world)
        score = partial(score_pairs, model, tokenizer, template=BARE)
        scores[name] = StudentSelector(score).fit(rows).scores_
    return {"rows": rows, "scores": scores}


def _neighbour(world: int) -> int:
    worlds = PILOT_WORLDS if world in PILOT_WORLDS else tuple(WORLDS)
    return worlds[(worlds.index(world) + 1) % len(worlds)]


def looked_at(world: int) -> dict[str, Any]:
    """Return what the scores of a pool tell of its planted rewrites, and how many rows each arm has to choose from."""
    found, (model, tokenizer) = _pool(world), rows_of.base(world)
    rows, scores = found["rows"], found["scores"]["student"]
    pairs = [candidates(row) for row in rows]
    shuffled = [
        s for s in score_pairs(model, tokenizer, mismatched([p["original"] for p in pairs]), template=BARE) if s
    ]
    sound = [s["response"] for row, s in zip(rows, scores, strict=True) if row["kind"] == "sound"]
    return {
        "base": rows_of.measure(model, tokenizer, world, "validation", VALIDATION),
        "shuffled_ifd": float(np.median([s.ifd for s in shuffled])),
        "sound_rifd": float(np.median([s.rifd for s in sound if s])),
        "auroc": {kind: told(rows, scores, kind) for kind in ("slip", "irrelevant")},
        "rows": {arm: len(_pairs(arm, world)) for arm in ARMS},
        "bad": {arm: round(_bad(arm, world), 4) for arm in ARMS},
        "unimproved": unimproved(scores),
    }


_POOLS: dict[int, dict[str, Any]] = {}


def _pool(world: int) -> dict[str, Any]:
    """Return a world's scored pool, kept in memory."""
    if world not in _POOLS:
        _POOLS[world] = pool(world)
    return _POOLS[world]


def _pairs(arm: str, world: int) -> list[rows_of.Reply]:
    found = _pool(world)
    scores = found["scores"].get(arm, found["scores"]["student"])
    return chosen(arm, found["rows"], scores, partial(rows_of.is_right, world=world), world)


def _bad(arm: str, world: int) -> float:
    """Return the share of wrong replies among what an arm chose."""
    pairs = _pairs(arm, world)
    return 1 - sum(rows_of.is_right(pair, world) for pair in pairs) / max(1, len(pairs))


def train(world: int, arm: str, rate: float, seed: int, split: str, size: int) -> dict[str, Any]:
    """Train a world's student on ROWS of what an arm chose, for STEPS updates, and measure it before and after."""
    model, tokenizer = rows_of.base(world)
    before, pairs = rows_of.measure(model, tokenizer, world, split, size), _pairs(arm, world)
    if len(pairs) < ROWS:
        raise SystemExit(f"{arm} chose {len(pairs)} rows in world {world}; all arms train on {ROWS}.")
    some = random.Random(f"rows/{seed}").sample(pairs, ROWS)
    student = rows_of.copy_of(model)
    tokens = fit(student, tokenizer, some, STEPS, BATCH, rate, seed)
    return {"before": before, "after": rows_of.measure(student, tokenizer, world, split, size), "tokens": tokens}


def pilot(world: int, arm: str, rate: float) -> dict[str, Any]:
    """Train an arm in a pilot world, on validation problems."""
    return train(world, arm, rate, world, "validation", VALIDATION)


def after(world: int, seed: int, arm: str, rate: float) -> dict[str, Any]:
    """Train an arm under one seed, on test problems."""
    return train(world, arm, rate, seed, "test", TEST)


def chosen_rates(pilots: Sequence[Row]) -> dict[str, float]:
    """Return each arm's learning rate: the highest value after training, mean over pilots; within 0.01, the lowest."""
    rates = {}
    for arm in ARMS:
        if arm not in BORROWED:
            final = {q: np.mean([r["after"] for r in pilots if (r["arm"], r["rate"]) == (arm, q)]) for q in RATES}
            rates[arm] = min(q for q in RATES if final[q] >= max(final.values()) - 0.01)
    return rates | {arm: rates[like] for arm, like in BORROWED.items()}


def gates() -> list[Gate]:
    """Score the pilots' pools and train every arm at every rate; return what must hold before a seed is run."""
    pools = run_tasks(POOLS, [{"world": world} for world in PILOT_WORLDS], looked_at)
    tasks = [
        {"world": world, "arm": arm, "rate": rate}
        for world in PILOT_WORLDS
        for arm in ARMS
        if arm not in BORROWED
        for rate in RATES
    ]
    pilots = run_tasks(PILOTS, tasks, pilot)
    rates = chosen_rates(pilots)

    def gain(arm: str) -> float:
        best = [row for row in pilots if (row["arm"], row["rate"]) == (arm, rates[arm])]
        return float(np.mean([row["after"] - row["before"] for row in best]))

    return [
        Gate("right before training", float(np.mean([row["base"] for row in pools])), 0.1, 0.3),
        Gate("rows to choose from, the arm with the fewest", min(min(row["rows"].values()) for row in pools), low=ROWS),
        Gate("r-IFD of sound rewrites, median", float(np.mean([row["sound_rifd"] for row in pools])), high=0.8),
        Gate("IFD of shuffled pairs, median", float(np.mean([row["shuffled_ifd"] for row in pools])), low=1),
        Gate("gain from verified rows", gain("verified"), low=0.1),
        Gate("gain from all rewrites", gain("all_teacher"), low=-0.02),
        Gate("gain from the student's choice", gain("student"), low=-0.02),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Score the pools and train every arm under every seed, world by world: what is missing."""
    rates = chosen_rates(read_rows(PILOTS))
    for world, seeds in WORLDS.items():
        run_tasks(POOLS, [{"world": world}], looked_at)
        tasks = [{"world": world, "seed": seed, "arm": arm, "rate": rates[arm]} for seed in seeds for arm in ARMS]
        run_tasks(RUNS, tasks, after)


# ---------------------------------------------------------------- what it says


class Seeds:
    """The stored seeds: one number each."""

    def __init__(self, pools: Sequence[Row], runs: Sequence[Row]):
        self.pools = {row["world"]: row for row in pools}
        self.order = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
        self.runs = {(row["arm"], row["world"], row["seed"]): row for row in runs}

    def after(self, arm: str) -> NDArray[np.float64]:
        """Return what is right after training, seed by seed."""
        return np.array([self.runs[arm, *key]["after"] for key in self.order])

    def before(self) -> NDArray[np.float64]:
        """Return what is right before training, seed by seed."""
        return np.array([self.runs["student", *key]["before"] for key in self.order])

    def minus(self, a: str, b: str) -> list[float]:
        """Return arm a - arm b, seed by seed."""
        return list(self.after(a) - self.after(b))

    def auroc(self, kind: str) -> list[float]:
        """Return the AUROC of one kind of bad rewrites, world by world: seeds of a world share its pool."""
        return [self.pools[world]["auroc"][kind] for world in WORLDS]


def endpoints(seeds: Seeds) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed (AUROC: for every pool)."""
    return (
        Endpoint("1. student - all rewrites", seeds.minus("student", "all_teacher")),
        [
            Endpoint("2. student - random candidates", seeds.minus("student", "random")),
            Endpoint("3. student - shuffled pairs", seeds.minus("student", "shuffled")),
            Endpoint("4. student - chosen for another student", seeds.minus("student", "other_student")),
            Endpoint("5. AUROC of irrelevant rewrites", seeds.auroc("irrelevant"), above=0.8),
            Endpoint("6. AUROC of rewrites with a slip", seeds.auroc("slip"), above=0.8),
            Endpoint("7. verified - student", seeds.minus("verified", "student")),
            Endpoint("8. verified, then the student's rule - verified", seeds.minus("verify_student", "verified")),
            Endpoint("9. verified, then the highest IFD - verified", seeds.minus("verify_ifd", "verified")),
        ],
    )


@styled
def plot_arms(seeds: Seeds) -> Figure:
    """Draw what is right after each arm: a dot per seed and the mean with its t interval."""
    fig = new_figure(3.4)
    ax = fig.subplots()
    ax.axvline(seeds.before().mean(), color=GREY, linestyle=":", linewidth=1)
    for i, arm in enumerate(ARMS):
        values = seeds.after(arm)
        interval, colour = t_interval(values, 0.95)[0], look(1 if "student" in arm else 0)[0]
        ax.plot(values, np.full(len(values), i), ".", color=colour, alpha=0.35, markersize=5)
        ax.hlines(i, interval.low, interval.high, color=colour)
        ax.plot(interval.value, i, "D", color=colour, markersize=5)
    ax.set(xlabel="right on held-out chains (dotted: before training)")
    ax.set_yticks(range(len(ARMS)), [arm.replace("_", " ") for arm in ARMS])
    ax.invert_yaxis()
    return fig


def load() -> tuple[list[Row], Seeds]:
    """Return pilots and seeds; FileNotFoundError while a run is missing."""
    pools, runs = read_rows(POOLS), read_rows(RUNS)
    seeds = Seeds(pools, runs)
    wanted = {(arm, *key) for arm in ARMS for key in seeds.order}
    if missing := wanted - seeds.runs.keys():
        raise FileNotFoundError(f"{len(missing)} of {len(wanted)} runs are missing in {RUNS}")
    return read_rows(PILOTS), seeds


def page(results: tuple[list[Row], Seeds]) -> Page:
    """Return what the results say."""
    pilots, seeds = results
    rates = chosen_rates(pilots)
    primary, others = endpoints(seeds)
    points = judge(primary, others)
    sd = float(np.std(primary.values_S, ddof=1))
    pools = [seeds.pools[world] for world in WORLDS]
    gains = {arm: signed(t_interval(seeds.after(arm) - seeds.before(), 0.95)[0]) for arm in ARMS}

    def of_pools(what: str, arm: str) -> float:
        return float(np.mean([one[what][arm] for one in pools]))

    arms = [
        (f"{arm}: {what}", f"{seeds.after(arm).mean():.3f}", gains[arm], f"{of_pools('bad', arm):.2f}",
         f"{of_pools('rows', arm):.0f}", f"{rates[arm]:g}")
        for arm, what in ARMS.items()
    ]  # fmt: skip
    values = {
        "sd": sd, "sees": detectable(sd, len(seeds.order)), "before": t_interval(seeds.before(), 0.95)[0],
        "arms": table(("arm", "right after", "minus before", "wrong replies", "rows to choose from", "rate"), arms),
        "tokens": sorted({row["tokens"] for row in seeds.runs.values()}),
        "shuffled": np.mean([p["shuffled_ifd"] for p in pools]), "sound": np.mean([p["sound_rifd"] for p in pools]),
        "minutes": sum(r["seconds"] for r in (*pilots, *seeds.pools.values(), *seeds.runs.values())) / 60,
        "second": second_student(),
    }  # fmt: skip
    claims = {
        "better than all rewrites": points[0].held, "better than chance": points[1].held,
        "better than shuffled pairs": points[2].held, "the choice belongs to the student": points[3].held,
        "finds irrelevant rewrites": points[4].held, "finds slips": points[5].held,
        "worth less than verifying": points[6].held, "the rule is worth something after verifying": points[7].held,
        "so is IFD": points[8].held,
    }  # fmt: skip
    return Page(points, claims, {"arms.svg": plot_arms(seeds)}, values)


def second_student() -> str:
    """Return what SmolLM2-135M learned, as a table; how to run it where it has not been."""
    rows = read_rows(SECOND)
    if not rows:
        return "Not run yet."
    arms = [name for name, value in rows[0].items() if isinstance(value, dict) and "after" in value]
    return table(
        ("arm", *(f"seed {row['seed']}, before {row['before']:.3f}" for row in rows)),
        [(arm, *(f"{row[arm]['after']:.3f}" for row in rows)) for arm in arms],
    )


SETTINGS = {
    "pool": f"{POOL:,}", "chosen": ROWS, "steps": STEPS, "batch": BATCH, "validation": VALIDATION, "test": f"{TEST:,}",
    "rates": ", ".join(f"{q:g}" for q in RATES), "base_steps": f"{rows_of.BASE['steps']:,}", "a": rows_of.KNOWS[0],
    "z": rows_of.KNOWS[1],
}  # fmt: skip
FINDING = Finding("student_selected", load, page, rerun, gates, SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
