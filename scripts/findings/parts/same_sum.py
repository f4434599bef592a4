"""Write two digits whose sum is that of the given digits: up to ten right answers, a completion of five tokens.

A problem is a row of digits; a hash of it puts a third into test. Its solution is drawn at random among the right
answers, so that a model that learns from solutions spreads.
"""

import hashlib
import itertools
import random

from rlvr.core.records import Problem

VERSION = 1
INLINE = True
_SPLITS = {"train": range(0, 7), "validation": (7,), "test": range(8, 12)}


def load(split: str, size: int | None, seed: int, digits: int = 3) -> list[Problem]:
    """Return `size` problems: all of the split in random order, and then the same again with other solutions.

    A test problem comes once, so test returns fewer than `size` where there are fewer.
    """
    rows = ["".join(row) for row in itertools.product("0123456789", repeat=digits)]
    rows = [row for row in rows if 1 <= sum(map(int, row)) <= 17 and _part(row) in _SPLITS[split]]
    random.Random(f"same_sum/{VERSION}/{split}").shuffle(rows)
    found: list[Problem] = []
    for turn in itertools.count():
        random.Random(f"same_sum/{VERSION}/{seed}/{split}/{turn}").shuffle(rows)
        found += [_problem(f"same_sum-v{VERSION}-s{seed}/{split}/{turn}/{row}", row) for row in rows]
        if size is None or len(found) >= size or split == "test":
            return found[:size]
    raise AssertionError


def verify(answer: str, gold: int) -> bool:
    """Whether the answer is two digits that sum to the target."""
    return len(answer) == 2 and answer.isascii() and answer.isdigit() and int(answer[0]) + int(answer[1]) == gold


def gold_answer(problem: Problem) -> str:
    """Return the right answer that was drawn for this problem."""
    return str(problem.meta["digits"])


def solution(problem: Problem) -> str:
    """Return nothing: the answer is given at once."""
    return ""


def _part(row: str) -> int:
    return hashlib.sha256(row.encode()).digest()[0] % 12


def _problem(id: str, row: str) -> Problem:
    target = sum(map(int, row))
    first = random.Random(id).randint(max(0, target - 9), min(9, target))
    meta = {"digits": f"{first}{target - first}"}
    return Problem(id, [{"role": "user", "content": row}], target, f"same_sum/{len(row)}", meta)
