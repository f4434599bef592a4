"""Chains of sums, 7+3-2, harder with every term: a model can know its chances from the question (calibration.py).

The first number and every running total lie between 0 and `top`, the digits between 1 and `digit`. The worked solution
is the running equations. An expression belongs to one split for ever; validation and test repeat one only where they
run out of new ones (two terms).
"""

import hashlib
import itertools
import random

from rlvr.core.records import Problem

VERSION = 1
INLINE = True
_SPLITS = {"train": range(0, 8), "validation": range(8, 11), "test": range(11, 16)}  # sixteenths of all expressions


def load(
    split: str, size: int | None, seed: int, terms: tuple[int, ...] = (2, 3, 4, 5), top: int = 19, digit: int = 5
) -> list[Problem]:
    """Return `size` problems (default 1,000), cycling through the numbers of terms."""
    found: list[Problem] = []
    seen: set[str] = set()
    for i in range(1000 if size is None else size):
        draw = random.Random(f"chains/{VERSION}/{seed}/{split}/{terms}/{top}/{digit}/{i}")
        mine = (
            words
            for words in (_expression(draw, terms[i % len(terms)], top, digit) for _ in itertools.count())
            if _part("".join(words)) in _SPLITS[split]
        )
        tries = [next(mine)] if split == "train" else list(itertools.islice(mine, 50))
        words = next((words for words in tries if "".join(words) not in seen), tries[0])
        expression = "".join(words)
        seen.add(expression)
        steps, value = _work(words)
        found.append(
            Problem(
                id=f"chains-v{VERSION}-s{seed}/{split}/{i}/{expression}",
                prompt=[{"role": "user", "content": f"{expression}?"}],
                answer=str(value),
                task=f"chains/{len(words) // 2 + 1}",
                meta={"steps": ", ".join(steps)},
            )
        )
    return found


def verify(answer: str, gold: str) -> bool:
    """Whether the answer is the value, and nothing else.

    >>> verify(" 12", "12"), verify("12 or 13", "12")
    (True, False)
    """
    return answer.strip() == gold


def solution(problem: Problem) -> str:
    """Return the running equations."""
    return str(problem.meta["steps"])


def _expression(draw: random.Random, terms: int, top: int, digit: int) -> list[str]:
    """Draw a chain whose running totals stay between 0 and `top`."""
    value = draw.randint(0, top)
    words = [str(value)]
    for _ in range(terms - 1):
        moves = [m for m in range(-digit, digit + 1) if m and 0 <= value + m <= top]
        move = draw.choice(moves)
        value += move
        words += ["+" if move > 0 else "-", str(abs(move))]
    return words


def _work(words: list[str]) -> tuple[list[str], int]:
    value, steps = int(words[0]), []
    for op, digit in zip(words[1::2], words[2::2], strict=True):
        result = value + int(digit) if op == "+" else value - int(digit)
        steps.append(f"{value}{op}{digit}={result}")
        value = result
    return steps, value


def _part(expression: str) -> int:
    return hashlib.sha256(expression.encode()).digest()[0] % 16
