"""The runs of utility_testbed.py: what an answer earns is its correctness, or the utility of giving it.

Both arms start from a base that knows the form, states random confidences, says "I don't know" to one problem in five
whatever it is, and knows few operators; both have the same Brier term on their confidence and the same format term.
They differ in what an answer earns: right 1, anything else 0 (honest), or right 1, "I don't know" 0, wrong -1 (utility,
as `abstain`, mapped to [0, 1]). A quarter of the problems is unlearnable, and their text shows it.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO
from numpy.typing import NDArray
from parts import testbed_runs
from parts.operators_silence import SILENCE
from parts.testbed_runs import BATCH, STEPS, chances, kept_rows, train, warm_on

import rlvr
from rlvr.core import specs
from rlvr.core.parse import render
from rlvr.decide import Prices
from rlvr.decide.policies import play
from rlvr.decide.recalibrate import Isotonic
from rlvr.measure.metrics import auroc
from rlvr.runs.directory import RunDir, read_metrics

operators = specs.import_file("data", "operators")
TASK: dict[str, Any] = {"lengths": (2, 3), "knows": (0.6, 0.2), "unlearnable": 0.25}
SILENCE_SET = str(REPO / "scripts" / "findings" / "parts" / "operators_silence.py")
TAGS = ("answer", "confidence")
FORM: dict[str, Any] = {"tags": [*TAGS], "system_prompt": "", "chat_template_kwargs": {"bare": True}}
LONGEST = 26  # tokens of a completion
UPDATES = 80
SILENT = 0.2  # share of the warm-up's rows that abstain
WORLDS = {121: (1, 2), 122: (3, 4), 123: (5, 6), 124: (7, 8)}
PRICE, PRICES = -1.0, (-1.0, -2.0, -5.0)  # of a wrong answer: the one that was trained for, and those that are judged
OTHERS = {"brier": 0.5, "format": 0.5}
ARMS: dict[str, dict[str, Any]] = {
    "honest": {"recipes": ["rlcr"], "set": {"rewards": {"correct": 1.0, **OTHERS}}},
    "utility": {"recipes": ["rlcr"], "set": {"rewards": {f"abstain(wrong={PRICE:g})": 1.0, **OTHERS}}},
}
TEST, VALIDATION, SAMPLES = 600, 600, 4

Array = NDArray[np.float64]


def problems(world: int) -> str:
    """Return the problem set of a world."""
    return testbed_runs.problems(world, **TASK)


def base_model(world: int) -> str:
    """Return the folder of a world's base (cached)."""
    file = REPO / "runs" / "finding-utility-testbed" / f"warm-{world}.jsonl"
    return warm_on(problems(world), world, TAGS, kept_rows(file, lambda: warm_rows(world, STEPS * BATCH)))


def warm_rows(world: int, size: int) -> list[dict[str, Any]]:
    """Return worked rows of the teacher, SILENT of them "I don't know" at random, each with a random confidence."""
    draw, rows = random.Random(f"utility/{world}"), []
    for problem in operators.load("train", size, world + 10_000, table=world, **TASK):
        _, answer = operators.teacher(problem, draw)
        said = SILENCE if draw.random() < SILENT else answer
        text = render("", said, round(draw.random(), 1), tags=TAGS)
        rows.append({"id": problem.id, "prompt": problem.prompt, "completion": text})
    return rows


def train_arms(
    file: Path, world: int, arms: Mapping[str, Any], seeds: Sequence[int], measured_by: Any, jobs: int
) -> None:
    """Train the arms from the base of a world, measure them by `measured_by`, and append what `file` lacks."""
    common = FORM | {
        "model": base_model(world), "data": problems(world), "max_completion_length": LONGEST,
        "gradient_accumulation_steps": 1,
    }  # fmt: skip
    train("utility", file, world, arms, seeds, UPDATES, measured_by, jobs, common)


def pilot(run: Path) -> dict[str, Any]:
    """Measure a pilot on validation problems, and pass@1 of its checkpoints."""
    return measure(str(run / "model"), rlvr.Run(run).config["data"], "validation") | testbed_runs.measure(
        run, "validation", VALIDATION, FORM
    )


def after(run: Path) -> dict[str, Any]:
    """Measure a run on test problems; its training time too."""
    seconds = round(read_metrics(RunDir(run).metrics)[-1]["seconds"])
    return measure(str(run / "model"), rlvr.Run(run).config["data"], "test") | {"train_seconds": seconds}


def measure_base(world: int) -> dict[str, Any]:
    """Measure a base on validation problems."""
    return measure(base_model(world), problems(world), "validation")


def measure(model: str, data: str, split: str) -> dict[str, Any]:
    """Return what a model earns at each price after isotonic recalibration of E[q], and what it knows.

    `forced`: pass@1 if "I don't know" were forbidden, P(right) / (1 - P(abstain)) from the logits, mean over problems.
    `oracle`: utility at PRICE of answering where forced pass@1 says so: the best that its answers allow.
    `as it acts`: utility at PRICE of giving every answer but "I don't know". At each price: utility and coverage of
    giving an answer (never "I don't know") where the recalibrated confidence says that it pays.
    """
    right_P = chances(model, data, split, TEST, FORM)
    silent_P = chances(model, data.replace("operators", SILENCE_SET, 1), split, TEST, FORM)
    forced_P = np.minimum(1.0, right_P / np.maximum(1 - silent_P, 1e-9))
    q_S, y_S, owner_S, spoke_S = samples(model, data, split, TEST)
    fit_q, fit_y, _, fit_spoke = samples(model, data, "train" if split == "validation" else "validation", VALIDATION)
    curve = Isotonic().fit(fit_q[fit_spoke], fit_y[fit_spoke])
    sure_S = np.where(spoke_S, curve.predict(q_S), np.nan)  # NaN is never answered
    payoff_S = np.where(spoke_S, np.where(y_S == 1, 1.0, PRICE), 0.0)
    found = {
        "pass@1": right_P.mean(),
        "forced": forced_P.mean(),
        "silent": silent_P.mean(),
        "oracle": np.maximum(0.0, forced_P + (1 - forced_P) * PRICE).mean(),
        "as it acts": payoff_S.mean(),
        "auroc": auroc(q_S[spoke_S], y_S[spoke_S]),
    }
    for price in PRICES:
        played = play(sure_S, y_S, owner_S, Prices(wrong=price))
        found |= {f"utility {price:g}": played.payoff_S.mean(), f"coverage {price:g}": played.answered_S.mean()}
    return {name: round(float(value), 5) for name, value in found.items()}


def samples(model: str, data: str, split: str, size: int) -> tuple[Array, Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Return E[q], outcome, problem, and whether it spoke, of every sample; one without a confidence did not speak."""
    measured = rlvr.evaluate(
        model, data, split=split, size=size, n=SAMPLES, q_expected=True, max_completion_length=LONGEST,
        dtype="float32", texts="none", **FORM,
    )  # fmt: skip
    rows = [
        (np.nan if s["q_expected"] is None else s["q_expected"], s["correct"] is True, i, s["answer"] != SILENCE)
        for i, problem in enumerate(measured.contents["problems"])
        for s in problem["samples"]
    ]
    q_S, y_S, owner_S, spoke_S = (np.array(column) for column in zip(*rows, strict=True))
    spoke_S &= ~np.isnan(q_S)
    return np.nan_to_num(q_S), y_S.astype(float), owner_S, spoke_S
