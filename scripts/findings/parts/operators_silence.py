"""The operators, with "I don't know" as the text whose chance is asked for: how likely a model is to abstain.

Not a task to train on. `rlvr evaluate --exact` on it gives P(abstain) of every problem from one teacher-forced pass,
where the set `operators` gives P(right).
"""

from dataclasses import replace
from typing import Any

from rlvr import Problem
from rlvr.core import specs

VERSION = 1
UNIQUE = True
SILENCE = "I don't know"
_operators = specs.import_file("data", "operators")


def load(split: str, size: int | None, seed: int, **more: Any) -> list[Problem]:
    """Return the problems of `operators` with these settings, each to be answered by SILENCE."""
    return [replace(problem, answer=SILENCE) for problem in _operators.load(split, size, seed, **more)]


def verify(answer: str, gold: str) -> bool:
    """Return whether the answer is SILENCE to the letter."""
    return answer.strip() == gold
