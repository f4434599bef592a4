"""Write a target as a sum of 2, 3 or 4 whole numbers: very many right answers, a completion of about ten tokens.

A problem is a pair (number of terms, target); a hash of it puts a third into test. Its solution is drawn at random
among the right answers, so that a model that learns from solutions spreads.
"""

import hashlib
import itertools
import random

from rlvr.core.records import Problem

VERSION = 1
INLINE = True
_SPLITS = {"train": range(0, 7), "validation": (7,), "test": range(8, 12)}


def load(
    split: str, size: int | None, seed: int, terms: tuple[int, ...] = (2, 3, 4), low: int = 20, high: int = 299
) -> list[Problem]:
    """Return `size` problems: all of the split in random order, and then the same again with other solutions.

    A test problem comes once, so test returns fewer than `size` where there are fewer.
    """
    pairs = [p for p in itertools.product(terms, range(low, high + 1)) if _part(*p) in _SPLITS[split]]
    found: list[Problem] = []
    for turn in itertools.count():
        random.Random(f"split_sum/{VERSION}/{seed}/{split}/{turn}").shuffle(pairs)
        found += [_problem(f"{split}/{turn}", seed, *pair) for pair in pairs]
        if size is None or len(found) >= size or split == "test":
            return found[:size]
    raise AssertionError


def chosen(answer: str) -> tuple[int, ...] | None:
    """Return the numbers of an answer such as 7+4, sorted; None if it is no such sum.

    >>> chosen("7+4"), chosen("7 4"), chosen("07+4")
    ((4, 7), None, None)
    """
    parts = answer.strip().split("+")
    if not all(p.isascii() and p.isdigit() and len(p) <= 6 and p[0] != "0" for p in parts):
        return None
    return tuple(sorted(map(int, parts)))


def verify(answer: str, gold: dict[str, int]) -> bool:
    """Whether the answer is a sum of as many positive whole numbers as asked for, worth the target."""
    found = chosen(answer)
    return found is not None and len(found) == gold["terms"] and sum(found) == gold["target"]


def gold_answer(problem: Problem) -> str:
    """Return the right answer that was drawn for this problem."""
    return str(problem.meta["sum"])


def solution(problem: Problem) -> str:
    """Return nothing: the answer is given at once."""
    return ""


def _part(terms: int, target: int) -> int:
    return hashlib.sha256(f"{terms},{target}".encode()).digest()[0] % 12


def _problem(where: str, seed: int, terms: int, target: int) -> Problem:
    draw = random.Random(f"split_sum/{VERSION}/{seed}/{where}/{terms}/{target}")
    cuts = [0, *sorted(draw.sample(range(1, target), terms - 1)), target]
    pick = [b - a for a, b in itertools.pairwise(cuts)]
    return Problem(
        id=f"split_sum-v{VERSION}-s{seed}/{where}/{terms}/{target}",
        prompt=[{"role": "user", "content": f"{terms}:{target}"}],
        answer={"terms": terms, "target": target},
        task=f"split_sum/{terms}",
        meta={"sum": "+".join(map(str, pick))},
    )
