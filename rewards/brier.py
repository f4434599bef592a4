"""1 minus the squared distance of the stated confidence from what happened."""

from rlvr import Completion


def brier(c: Completion) -> float | None:
    """Return 1 - (q - y)^2, with q the stated confidence and y = 1 if right, else 0.

    Range [0, 1]; expected value best at q = P(right). None: the verifier failed. Missing: no readable
    confidence or a bad format is worth 0, what a sure and wrong answer is worth.
    Alone it can be gamed: a deliberately wrong answer at q = 0 earns 1. Weigh `correct` at least as much.
    Source: RLCR, 2507.16806; the condition on the weights: 2607.04332.

    >>> from rlvr.core.records import Problem
    >>> brier(Completion(Problem("1", [], "4"), "", confidence=0.5, format_ok=True, correct=True))
    0.75
    """
    if c.correct is None:
        return None
    if c.confidence is None or not c.format_ok:
        return 0.0
    return 1 - (c.confidence - c.correct) ** 2
