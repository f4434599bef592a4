"""Any generator of reasoning-gym (2505.24760): reasoning_gym(dataset='leg_counting'). An extra: rlvr[reasoning-gym]."""

import json
from typing import Any

from rlvr.errors import DataError
from rlvr.records import Problem

VERSION = 1
_OFFSET = {"train": 0, "validation": 1_000_003, "test": 2_000_003}  # generator seeds that never meet


def load(split: str, size: int | None, seed: int, dataset: str = "leg_counting") -> list[Problem]:
    """Return `size` generated problems (default 1,000); the splits are generated from seeds far apart."""
    if split not in _OFFSET:
        raise DataError(f"No split {split!r}. Known: {', '.join(_OFFSET)}.")
    count = 1000 if size is None else size
    try:
        made = _gym().create_dataset(dataset, size=count, seed=_OFFSET[split] + 10_007 * seed)
    except ValueError as error:
        raise DataError(f"reasoning-gym has no dataset {dataset!r}: {error}") from error
    return [
        Problem(
            id=f"{dataset}-v{VERSION}-s{seed}/{split}/{i}",
            prompt=[{"role": "user", "content": entry["question"]}],
            answer={"dataset": dataset, "entry": json.loads(json.dumps(entry, default=str))},
            task=f"reasoning_gym/{dataset}",
        )
        for i, entry in enumerate(made)
    ]


def gold_answer(problem: Problem) -> str:
    """Return the generator's own answer."""
    return str(problem.answer["entry"]["answer"])


def verify(answer: str, gold: dict[str, Any]) -> bool:
    """Whether the generator's own scorer gives `answer` full marks."""
    scorer = _gym().get_score_answer_fn(gold["dataset"])
    return float(scorer(answer=answer, entry=gold["entry"])) >= 1.0


def _gym() -> Any:
    try:
        import reasoning_gym
    except ImportError:
        raise DataError("reasoning-gym is not installed. Run: pip install 'rlvr[reasoning-gym]'") from None
    return reasoning_gym
