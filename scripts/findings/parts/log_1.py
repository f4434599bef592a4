"""The Log-1 reward of 2607.04332, which a model can game: a sure wrong answer beats an honest try below 0.648."""

import math

from rlvr.core.records import Completion

_LOW = 1 / 203  # as in rewards/log_score.py
_WIDTH = 1 + math.log(203)


def log_1(c: Completion) -> float | None:
    """Return 1 + ln q if right and ln(1 - q) if wrong, q clipped to [1/203, 202/203], mapped to [0, 1].

    The map is (x + ln 203) / (1 + ln 203). None: the verifier failed. No readable confidence or a bad format: 0.
    A wrong answer at q = 0 earns ln 203 / (1 + ln 203) = 0.84 of the range, a right one at q = 0.5 earns 0.89.

    >>> from rlvr.core.records import Problem
    >>> wrong = Completion(Problem("1", [], "4"), "", confidence=0.0, format_ok=True, correct=False)
    >>> round(log_1(wrong), 2)
    0.84
    """
    if c.correct is None:
        return None
    if c.confidence is None or not c.format_ok:
        return 0.0
    q = min(max(c.confidence, _LOW), 1 - _LOW)
    score = 1 + math.log(q) if c.correct else math.log(1 - q)
    return min(max((score + math.log(203)) / _WIDTH, 0.0), 1.0)
