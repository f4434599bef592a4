"""Any generator of reasoning-gym (2505.24760), an extra: reasoning_gym(dataset='leg_counting')."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

from rlvr import DataError, Problem

try:
    import reasoning_gym as gym  # here, not in verify(): the import must not count against an answer's time limit
except ImportError:
    gym = None

VERSION = 1
_SPLITS = {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100)}  # hundredths, by question
_STREAM = 100_000  # questions per seed; generators derive item i from seed + i, so streams must not overlap


def load(split: str, size: int | None, seed: int, dataset: str = "leg_counting") -> list[Problem]:
    """Return `size` generated problems (default 1,000), fewer if the generator's stream holds no more.

    A question's hash decides its split, so splits share none, whatever the seeds.
    """
    if split not in _SPLITS:
        raise DataError(f"No split {split!r}. Known: {', '.join(_SPLITS)}.")
    package = _gym()
    try:
        made = package.create_dataset(dataset, size=_STREAM, seed=seed * _STREAM)
    except ValueError as error:
        raise DataError(f"Cannot create the reasoning-gym dataset {dataset!r}: {error}") from error
    return [
        Problem(
            id=f"{dataset}-v{VERSION}-s{seed}/{split}/{i}",
            prompt=[{"role": "user", "content": entry["question"]}],
            answer={"dataset": dataset, "entry": json.loads(json.dumps(entry, default=str))},
            task=f"reasoning_gym/{dataset}",
        )
        for i, entry in enumerate(itertools.islice(_of(split, made), 1000 if size is None else size))
    ]


def gold_answer(problem: Problem) -> str:
    """Return the generator's own answer."""
    return str(problem.answer["entry"]["answer"])


def verify(answer: str, gold: dict[str, Any]) -> bool:
    """Return whether the generator's own scorer gives `answer` full marks."""
    scorer = _gym().get_score_answer_fn(gold["dataset"])
    return float(scorer(answer=answer, entry=gold["entry"])) >= 1.0


def _of(split: str, made: Any) -> Iterator[dict[str, Any]]:
    for i in range(_STREAM):
        entry = made[i]  # by index: iterating would add a random identifier
        digest = hashlib.sha256(entry["question"].encode()).digest()
        if int.from_bytes(digest[:4], "big") % 100 in _SPLITS[split]:
            yield entry


def _gym() -> Any:
    if not hasattr(gym, "create_dataset"):  # absent, or a file of that name (this one) stands before it on sys.path
        raise DataError("reasoning-gym is not installed. Run: pip install 'rlvr[reasoning-gym]'")
    return gym
