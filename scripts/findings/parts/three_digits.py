"""Three digits from 0 to 5, a + b + c or a + b - c: small enough to be learned by a model of 40,000 parameters.

All 432 expressions; a hash of the expression puts two in ten into test, one in ten into validation.
"""

import hashlib
import itertools

from rlvr.core.records import Problem
from rlvr.problems.sets import problem_set

VERSION = 1
_SPLITS = {"test": (0, 1), "validation": (2,), "train": range(3, 10)}
verify = problem_set("arithmetic").verify


def load(split: str, size: int | None, seed: int) -> list[Problem]:
    """Return up to `size` problems of `split`, in order; there is one set of them, so `seed` is unused."""
    found = []
    for a, b, c, op in itertools.product(range(6), range(6), range(6), "+-"):
        text, value = f"{a}+{b}{op}{c}", a + b + (c if op == "+" else -c)
        if hashlib.sha256(text.encode()).digest()[0] % 10 in _SPLITS[split]:
            found.append(Problem(text, [{"role": "user", "content": text}], str(value), "three_digits", {}))
    return found[:size]


def solution(problem: Problem) -> str:
    """Return the two steps.

    >>> solution(Problem("7+8-3", [], "12", "three_digits", {}))
    '7+8=15, 15-3=12'
    """
    a, b = problem.id[0], problem.id[2]
    return f"{a}+{b}={int(a) + int(b)}, {int(a) + int(b)}{problem.id[3:]}={problem.answer}"
