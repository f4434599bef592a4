"""The runs of calibration_testbed.py: two bases on the operators, arms that differ in what teaches the confidence.

A quarter of the problems is unlearnable, so that there is something to be unsure of however long the training. The
*random* base was warmed up with confidences drawn at random; the *informed* one with the teacher's own chance of being
right on the whole chain, rounded to a tenth.
"""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO, read_rows
from numpy.typing import NDArray
from parts import testbed_runs
from parts.testbed_runs import BATCH, STEPS, chances, kept_rows, problems, train, warm_on

import rlvr
from rlvr.core import specs
from rlvr.core.json_rows import json_text
from rlvr.core.records import Problem
from rlvr.decide.recalibrate import Platt
from rlvr.measure.metrics import auroc, brier, ece

operators = specs.import_file("data", "operators")
TASK = {"knows": "easy", "unlearnable": 0.25}
TAGS = ("answer", "confidence")
FORM: dict[str, Any] = {"tags": [*TAGS], "system_prompt": "", "chat_template_kwargs": {"bare": True}}
UPDATES = 100
WORLDS = {111: (1, 2), 112: (3, 4), 113: (5, 6), 114: (7, 8)}
ARMS: dict[str, dict[str, Any]] = {
    "binary": {"recipes": ["rlcr"], "set": {"rewards": {"correct": 0.5, "format": 0.5}}},
    "rlcr": {"recipes": ["rlcr"]},
    "split": {"recipes": ["rlcr"], "set": {"advantage": "split_proper", "rewards": {"correct": 1.0}}},
    "expected": {"recipes": ["expected_brier"]},
}
BASES = {"random": ("binary", "rlcr", "split", "expected"), "informed": ("binary", "rlcr")}
TEST, VALIDATION, SAMPLES = 600, 400, 4


def base_model(base: str, world: int) -> str:
    """Return the folder of a world's base (cached)."""
    rows = None
    if base == "informed":
        file = REPO / "runs" / "finding-calibration-testbed" / f"informed-{world}.jsonl"
        rows = kept_rows(file, lambda: informed_rows(world))
    return warm_on(problems(world, **TASK), world, TAGS, rows)


def informed_rows(world: int) -> list[dict[str, Any]]:
    """Return worked rows whose confidence is the chance that the teacher who wrote them is right."""
    draw, rows = random.Random(f"informed/{world}"), []
    for problem in operators.load("train", STEPS * BATCH, world + 10_000, table=world, **TASK):
        _, answer = operators.teacher(problem, draw)
        text = f"<answer>{answer}</answer><confidence>{round(teacher_chance(problem), 1)}</confidence>"
        rows.append({"id": problem.id, "prompt": problem.prompt, "completion": text})
    return rows


def teacher_chance(problem: Problem) -> float:
    """Return the teacher's chance of being right about the whole chain."""
    letters, dial = problem.meta["text"][1:], problem.meta["knows"]
    return math.prod(0.1 if letter.isupper() else operators.chance(letter, dial) for letter in letters)


def train_base(
    base: str,
    file: Path,
    world: int,
    arms: Mapping[str, Any],
    seeds: Sequence[int],
    measured_by: Any,
    jobs: int,
) -> None:
    """Train the arms from one base of one world; rows name the base."""
    own = file.with_name(f"{file.stem}_{base}_{world}.jsonl")  # what `train` appends to, before the base is named
    done = {(row["base"], row["world"]) for row in read_rows(file)}
    if (base, world) in done:
        return
    common = FORM | {"model": base_model(base, world), "data": problems(world, **TASK), "max_completion_length": 26}
    train(f"calibration-{base}", own, world, arms, seeds, UPDATES, measured_by, jobs, common)
    with file.open("a", encoding="utf-8") as lines:
        lines.writelines(json_text({"base": base, **row}) + "\n" for row in read_rows(own))
    own.unlink()


def pilot(run: Path) -> dict[str, Any]:
    """Measure a pilot: pass@1 of its checkpoints on validation problems, and its confidence."""
    return _after(run, "validation")


def after(run: Path) -> dict[str, Any]:
    """Measure a run on test problems."""
    return _after(run, "test")


def pilot_base(base: str, world: int) -> dict[str, Any]:
    """Measure a base of the pilots on validation problems."""
    return measure(base_model(base, world), problems(world, **TASK), "validation")


def test_base(base: str, world: int) -> dict[str, Any]:
    """Measure a base on test problems."""
    return measure(base_model(base, world), problems(world, **TASK), "test")


def _after(run: Path, split: str) -> dict[str, Any]:
    """Return pass@k along the run, as every finding on the testbed has it, and what its last model states."""
    last = measure(str(run / "model"), rlvr.Run(run).config["data"], split)
    return last | testbed_runs.measure(run, split, TEST, FORM)


def measure(model: str, data: str, split: str) -> dict[str, Any]:
    """Return pass@1 and what the expectation of the stated confidence, E[q] from the logits, is worth.

    skill = 1 - Brier / (a (1 - a)), a the accuracy of the same samples; `oracle` is the AUROC of the problems' chances;
    `brier_platt` the score of E[q] after Platt scaling, fitted on validation problems.
    """
    p_P = chances(model, data, split, TEST, FORM)
    q_S, y_S, owner_S, missing = stated(model, data, split, TEST)
    fit_q, fit_y, _, _ = stated(model, data, "train" if split == "validation" else "validation", VALIDATION)
    scaled_S = Platt().fit(fit_q, fit_y).predict(q_S)
    rate = y_S.mean()
    return {
        "pass@1": round(float(p_P.mean()), 5),
        "accuracy": round(float(rate), 5),
        "brier": round(float(brier(q_S, y_S)), 5),
        "brier_platt": round(float(brier(scaled_S, y_S)), 5),
        "skill": round(float(1 - brier(q_S, y_S) / (rate * (1 - rate))), 5),
        "auroc": round(float(auroc(q_S, y_S)), 5),
        "oracle": round(float(auroc(p_P[owner_S], y_S)), 5),
        "ece": round(float(ece(q_S, y_S)), 5),
        "missing": round(missing, 5),
    }


def stated(model: str, data: str, split: str, size: int) -> tuple[NDArray[np.float64], ...]:
    """Return E[q], outcome and problem of each sample that states a confidence, and the share that states none."""
    measured = rlvr.evaluate(
        model, data, split=split, size=size, n=SAMPLES, q_expected=True, max_completion_length=26, dtype="float32",
        texts="none", **FORM,
    )  # fmt: skip
    rows = [(s["q_expected"], s["correct"], i) for i, p in enumerate(measured.record["problems"]) for s in p["samples"]]
    kept = [(q, float(y), i) for q, y, i in rows if q is not None and y is not None]
    q_S, y_S, owner_S = (np.array(values) for values in zip(*kept, strict=True))
    return q_S, y_S, owner_S, 1 - len(kept) / len(rows)
