"""The runs of rank_completions.py: models that answer at different lengths, their completions, and a log of choices.

The warm-up's teacher opens with a <think> of 0 to FILLER dots, drawn at random: length is a property of a completion
that tells nothing of whether it is right. Then come the chain and the teacher's own chance of being right, to a tenth.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO
from numpy.typing import NDArray
from parts.confidence_runs import operators, teacher_chance
from parts.testbed_runs import BATCH, STEPS, kept_rows, problems, train, warm_on
from scipy.stats import spearmanr

import rlvr
from rlvr.decide.ranking.completions import read_candidates
from rlvr.decide.ranking.rank import best_of
from rlvr.measure.metrics import auroc

FILLER, UPDATES = 12, 40
FORM: dict[str, Any] = {
    "tags": ["think", "answer", "confidence"], "system_prompt": "", "chat_template_kwargs": {"bare": True},
}  # fmt: skip
LENGTH = 44  # tokens of a completion: 12 dots, six tags, a chain of 15, a confidence of 3, the end, and room
WORLDS = {131: (1, 2), 132: (3, 4), 133: (5, 6), 134: (7, 8)}  # a base and a table -> the seeds of its runs
PILOT_WORLDS = (930, 931)
LISTS, TEST, N = 400, 600, 16  # problems of the log, problems judged, completions of each
PLEASES = {True: 0.9, False: 0.2}  # chance that a completion that was looked at is chosen, right or wrong
OLD_NOISE = 3.0  # tokens: the old interface puts long completions first, up to noise of this standard deviation
METHODS = ("naive", "tower", "pal")

Row = dict[str, Any]


def base_model(world: int) -> str:
    """Return the folder of a world's base (cached)."""
    file = REPO / "runs" / "finding-rank-completions" / f"worked-{world}.jsonl"
    return warm_on(problems(world), world, FORM["tags"], kept_rows(file, lambda: worked(world)))


def worked(world: int) -> list[Row]:
    """Return what the warm-up's teacher writes."""
    draw, rows = random.Random(f"completions/{world}"), []
    for problem in operators.load("train", STEPS * BATCH, world + 10_000, table=world):
        _, answer = operators.teacher(problem, draw)
        dots, q = "." * draw.randint(0, FILLER), round(teacher_chance(problem), 1)
        text = f"<think>{dots}</think><answer>{answer}</answer><confidence>{q}</confidence>"
        rows.append({"id": problem.id, "prompt": problem.prompt, "completion": text})
    return rows


def train_world(file: Path, world: int, seeds: Sequence[int], measured_by: Any, jobs: int) -> None:
    """Train a world's model by RLCR under each seed, measure, and append the rows that `file` lacks."""
    common = FORM | {"model": base_model(world), "max_completion_length": LENGTH, "learning_rate": 1e-4}
    train("completions", file, world, {"rlcr": {"recipes": ["rlcr"]}}, seeds, UPDATES, measured_by, jobs, common)


def after(run: Path) -> Row:
    """Measure a run: the log on validation problems, the ranking judged on test problems."""
    return measure(run, "validation", "test")


def pilot(run: Path) -> Row:
    """Measure a pilot: the log on problems of the training split, judged on validation problems."""
    return measure(run, "train", "validation")


def measure(run: Path, log_split: str, split: str) -> Row:
    """Return how often each way to choose one of N completions is right, and what the gates need."""
    config = rlvr.Run(run).config
    log_rows, rows = (
        read_candidates(
            rlvr.evaluate(
                str(run / "model"), problems(config["data_size_seed"]), split=part, size=size, n=N, dtype="float32",
                max_completion_length=LENGTH, texts="none", seed=config["seed"], **FORM,
            )
        )
        for part, size in ((log_split, LISTS), (split, TEST))
    )  # fmt: skip
    return judged(log_rows, rows, config["seed"])


def judged(log_rows: Sequence[Row], rows: Sequence[Row], seed: int) -> Row:
    """Return the share of lists whose chosen completion is right, by each way to choose, and facts of the log.

    `told` is what the same features give where the log has verdicts in place of choices.
    """
    log = shown(log_rows, seed)
    position, tokens = (np.array([row[key] for row in log], float) for key in ("position", "x/tokens"))
    correct = np.array([bool(row["correct"]) for row in rows], float)
    lists = np.array([row["list"] for row in rows])
    agreement, confidence = (column(rows, f"x/{name}", -1.0) for name in ("agreement", "confidence"))
    scores = {"random": np.zeros(len(rows)), "majority": agreement, "most confident": confidence}
    right = {name: float(best_of(score, correct, lists).mean()) for name, score in scores.items()}
    right["any"] = float(np.mean([correct[lists == name].any() for name in np.unique(lists)]))
    chosen = [features(row) | {"chosen": row["chosen"]} for row in log]
    told = [features(row) | {"chosen": bool(row["correct"])} for row in log]
    for name, method, taught in (*((m, m, chosen) for m in METHODS), ("told", "naive", told)):
        ranker = rlvr.rank(taught, method=method, weights={"chosen": 1.0}, seed=seed)
        score = ranker.ranker.predict(np.array([[value(row, f) for f in ranker.log.features] for row in rows]))
        right[name] = float(best_of(score, correct, lists).mean())
    verdicts = np.array([bool(row["correct"]) for row in log], float)
    return {
        "right": {name: round(value, 5) for name, value in right.items()},
        "chosen": round(float(np.mean([row["chosen"] for row in log])), 4),
        "position_by_length": round(float(spearmanr(tokens, position)[0]), 4),
        "auroc_length": round(float(auroc(tokens / tokens.max(), verdicts)), 4),
    }


def shown(rows: Sequence[Row], seed: int) -> list[Row]:
    """Return the log: the old interface puts long completions first, readers look at place k with chance 1 / k."""
    draw, lists = random.Random(f"shown/{seed}"), {}
    for row in rows:
        lists.setdefault(row["list"], []).append(row)
    log = []
    for members in lists.values():
        order = sorted(members, key=lambda row: -row["x/tokens"] + draw.gauss(0, OLD_NOISE))
        for k, row in enumerate(order, 1):
            log.append({**row, "position": k, "chosen": draw.random() < PLEASES[bool(row["correct"])] / k})
    return log


def features(row: Row) -> Row:
    """Return what a ranker may see of a shown candidate: no verdict, no cost."""
    return {name: row[name] for name in row if name in ("list", "position") or name.startswith("x/")}


def value(row: Mapping[str, Any], name: str) -> float:
    """Return a feature as a number; NaN where it is missing."""
    return float("nan") if row.get(name) is None else float(row[name])


def column(rows: Sequence[Row], name: str, missing: float) -> NDArray[np.float64]:
    """Return a feature of all rows, with a number in place of what is missing."""
    return np.nan_to_num(np.array([value(row, name) for row in rows]), nan=missing)
