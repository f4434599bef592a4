"""Rewards of near_impossible_testbed.py: for the whole working, and for nothing at all."""

import random

from rlvr import Completion


def whole(c: Completion) -> float:
    """Return 1 for the one text whose working and answer are right, else 0: what luck makes right is not paid.

    Range {0, 1}. The text is `<think>3c7 7a2 2f9</think><answer>9</answer>`, with white space around it at most.

    >>> from rlvr.core.records import Problem
    >>> problem = Problem("1", [], "9", meta={"text": "3caf", "totals": [7, 2, 9]})
    >>> texts = ["<think>3c7 7a2 2f9</think><answer>9</answer>", "<think>3c7 7a1 1f9</think><answer>9</answer>"]
    >>> [whole(Completion(problem, text, "9", correct=True)) for text in texts]
    [1.0, 0.0]
    """
    return float(bool(c.correct) and c.text.strip() == right_text(c.problem))


def right_text(problem) -> str:
    """Return the completion whose working and answer are right; "" for a problem that is no chain of operators."""
    if "totals" not in problem.meta:
        return ""
    text, totals = problem.meta["text"], problem.meta["totals"]
    before = [text[0], *totals]
    working = " ".join(f"{a}{letter}{b}" for a, letter, b in zip(before, text[1:], totals, strict=False))
    return f"<think>{working}</think><answer>{problem.answer}</answer>"


def coin(group: list[Completion], *, rate: float) -> list[float]:
    """Return 1 with probability `rate`, else 0, drawn anew for each completion of a group, whatever it says.

    Range {0, 1}. The draws come from a generator whose seed is all texts of the group: another sample of the same
    problem has other ones, equal texts of one group have draws of their own, and a resumed run has the same.

    >>> from rlvr.core.records import Problem
    >>> group = [Completion(Problem("1", [], "9"), "the same text")] * 1000
    >>> 0.05 < sum(coin(group, rate=0.1)) / 1000 < 0.15 and coin(group, rate=0.1) == coin(group, rate=0.1)
    True
    """
    draw = random.Random(repr([(c.problem.id, c.text) for c in group]))
    return [float(draw.random() < rate) for _ in group]
