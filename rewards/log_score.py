"""The logarithmic score, clipped so that no wrong answer can earn more than a right one."""

import math

from rlvr import Completion

_LOW = 1 / 203  # confidences below this, and above 1 - this, count as this far from certain
_WIDTH = 2 * math.log(202)


def log_score(c: Completion) -> float | None:
    """Return the score of correctness plus 1/ln 202 times the log score, mapped from its range to [0, 1].

        q' = q clipped to [1/203, 202/203]
        right: 1/2 + ln(203 q') / (2 ln 202)        from 1/2 to 1
        wrong: ln(203 (1 - q')) / (2 ln 202)        from 0 to 1/2

    Before mapping (x -> (x + ln 203 / ln 202) / 2): 1 + ln q' / ln 202 and ln(1 - q') / ln 202. The worst
    right answer and the best wrong one meet at 1/2, so, unlike the plain log score, it is safe on its own.
    Range [0, 1]; expected value best at q = P(right) up to the clip. None: the verifier failed. Missing: no
    readable confidence or a bad format is worth 0, what a sure and wrong answer is worth.
    Source: 2607.04332.

    >>> from rlvr.core.records import Problem
    >>> log_score(Completion(Problem("1", [], "4"), "", confidence=1.0, format_ok=True, correct=True))
    1.0
    """
    if c.correct is None:
        return None
    if c.confidence is None or not c.format_ok:
        return 0.0
    q = min(max(c.confidence, _LOW), 1 - _LOW)
    score = 0.5 + math.log(203 * q) / _WIDTH if c.correct else math.log(203 * (1 - q)) / _WIDTH
    return min(max(score, 0.0), 1.0)  # rounding only: the formula itself stays inside
