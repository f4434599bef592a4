"""The runs of near_impossible_testbed.py: one base for each world, arms that differ in problems, verdict or credit.

Every completion is `<think>3c7 7a2 2f9</think><answer>9</answer>`. The *small* space pays the last total (`correct`),
so luck is paid one time in ten; the *large* one pays the wholly right text (`whole`). A control is paid by a coin.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parts import testbed_runs
from parts.testbed_rewards import right_text
from scipy.stats import binom

import rlvr
from rlvr.core import specs
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.records import Completion, Problem
from rlvr.measure.exact import continuation_logps
from rlvr.measure.sample import Policy, make_engine, sample
from rlvr.models.chat import encode
from rlvr.models.load import load_model
from rlvr.models.sampling import Sampling
from rlvr.problems.prompts import messages
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import load_problems
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.training.answer_metrics import repetition

SET = "scripts/findings/parts/operators_by_chance.py"  # relative: it names the cached warm-up in every clone
REWARDS = "scripts/findings/parts/testbed_rewards.py"
TAGS = ("think", "answer")
BARE = {"bare": True}
UPDATES = 50
TRAIN = 512  # problems an arm trains on; 50 updates of 32 see each three times
LENGTH = 20  # tokens; a completion has 17
HELD_OUT = {"validation": 80, "test": 250}  # problems of each cell; the easy ones are few
CELLS = ("easy", "medium", "hard", "all")
SAMPLES = 4
PROFILE = 16  # samples of each training problem before the filtered arm begins
LUCK = 0.1  # chance of a right last total where nothing is known
TRAINED = ("accuracy", "reward", "groups/mixed", "groups/no_signal", "kept", "health/gradient_cosine")

SPACES: dict[str, dict[str, float]] = {"small": {"correct": 1.0}, "large": {f"{REWARDS}:whole": 1.0}}


def arm(world: int, space: str, cell: str, recipe: str = "grpo", **settings: Any) -> dict[str, Any]:
    """Return an arm of a world: a recipe on the training problems of a cell, paid as a space pays."""
    data = f"{SET}(cell={cell!r}, table={world})"
    return {"recipes": [recipe], "set": {"data": data, "rewards": SPACES[space], **settings}}


def coin(world: int, cell: str, rate: float) -> dict[str, Any]:
    """Return the control of an arm: the same problems, paid at random with its success rate."""
    control = arm(world, "small", cell, allow_hackable=True)
    control["set"]["rewards"] = {f"{REWARDS}:coin(rate={rate!r})": 1.0}
    return control


def filter_threshold() -> float:
    """Return the pass rate below which the filter drops: it covers what luck alone pays in 19 of 20 problems.

    The highest count of PROFILE samples that luck exceeds in at most one problem of twenty, as a posterior rate with
    the filter's prior of (0.5, 0.5), and half a count more.

    >>> filter_threshold()
    0.294
    """
    count = int(binom.ppf(0.95, PROFILE, LUCK))
    return round((count + 1) / (PROFILE + 1), 3)


def base_model(world: int) -> str:
    """Return the folder of a world's base (cached); its warm-up saw problems of every chance."""
    return testbed_runs.warm_on(f"{SET}(table={world})", world, TAGS)


def train(
    name: str,
    file: Path,
    world: int,
    arms: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    measured_by: Any,
    jobs: int,
) -> None:
    """Train the arms of one world from its base, measure them, and append the rows that `file` lacks."""
    common = {"model": base_model(world), "tags": [*TAGS], "train_size": TRAIN, "max_completion_length": LENGTH}
    testbed_runs.train(f"near-impossible-{name}", file, world, arms, seeds, UPDATES, measured_by, jobs, common)


def pilot(run: Path) -> dict[str, Any]:
    """Measure a pilot, on validation problems."""
    return measure(run, "validation")


def after(run: Path) -> dict[str, Any]:
    """Measure a run, on test problems."""
    return measure(run, "test")


def test_base(world: int) -> dict[str, Any]:
    """Measure what a world's base says on test problems; its chances stand in every run's curve."""
    torch.set_num_threads(1)
    return behaviour(base_model(world), world, "test")


def measure(run: Path, split: str) -> dict[str, Any]:
    """Return the chance of the whole working per cell along a run (the base first), its training, and its last texts.

    Curves along training have one value per update; `last` is measured on samples of the last model.
    """
    torch.set_num_threads(1)
    config, rows = rlvr.Run(run).config, read_metrics(RunDir(run).metrics)
    world = int(dict(specs.parse_spec(config["data"]).params)["table"])
    saved = sorted((run / "checkpoints").glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    points = [chances(str(folder), world, split) for folder in (Path(config["model"]), *saved)]
    return {
        "steps": [0, *(int(folder.name.rpartition("-")[2]) for folder in saved)],
        "along": {cell: [point[cell] for point in points] for cell in CELLS},
        "last": behaviour(str(run / "model"), world, split),
        **{f"train_{k}": [None if r.get(k) is None else round(r[k], 3) for r in rows] for k in TRAINED},
        "train_seconds": round(rows[-1]["seconds"]),
    }


def held_out(world: int, cell: str, split: str) -> list[Problem]:
    """Return the held-out problems of a cell, the same for every run of a world."""
    return load_problems(f"{SET}(cell={cell!r}, table={world})", split, HELD_OUT[split], 0)


def chances(model: str, world: int, split: str) -> dict[str, float]:
    """Return for each cell the mean probability of the wholly right text, from the logits, in [0, 1].

    One teacher-forced pass over each problem, no sampling: p = prod_t P(token t | prompt, tokens before).
    """
    loaded, tokenizer = load_model(model)
    answers, means = AnswerFormat.of(TAGS), {}
    for cell in CELLS:
        problems = held_out(world, cell, split)
        prompts = encode(tokenizer, [messages(p, answers, "") for p in problems], BARE)
        rights = tokenizer([right_text(p) for p in problems], add_special_tokens=False)["input_ids"]
        means[cell] = round(float(continuation_logps(loaded, prompts, rights).exp().mean()), 5)
    return means


def behaviour(model: str, world: int, split: str) -> dict[str, float]:
    """Return what samples of the problems of all chances are like, as shares.

    `right`: the last total is right; `lucky`: right with a wrong working; `form`: the form of answer is kept;
    `skipping`: fewer than three steps in the working; `repetition`: docs/metrics.md; `easy_right`: right on easy ones.
    """
    completions = {cell: _sample(model, held_out(world, cell, split)) for cell in ("all", "easy")}
    every = completions["all"]
    right = np.array([c.correct is True for c in every])
    whole = np.array([c.text.strip() == right_text(c.problem) for c in every])
    shares = {
        "right": right.mean(),
        "lucky": (right & ~whole).mean(),
        "form": np.mean([c.format_ok for c in every]),
        "skipping": np.mean([len(c.text.partition("</think>")[0].split()) < 3 for c in every]),
        "repetition": repetition(every, SAMPLES),
        "easy_right": np.mean([c.correct is True for c in completions["easy"]]),
    }
    return {name: round(float(value), 4) for name, value in shares.items()}


def _sample(model: str, problems: Sequence[Problem]) -> list[Completion]:
    loaded, tokenizer = load_model(model)
    policy = Policy(make_engine(loaded, tokenizer, torch.float32), tokenizer, "", BARE)
    with contextlib.closing(Scorer.of(SET, TAGS)) as scorer:
        return sample(policy, problems, scorer, n=SAMPLES, sampling=Sampling(LENGTH, 1.0), seed=1234).completions
