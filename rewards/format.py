"""1 if the completion has exactly the requested form, else 0."""

from rlvr import Completion


def format(c: Completion) -> float:
    """Return 1 if every requested tag is there once, in order, and readable (see rlvr.core.parse), else 0.

    Range {0, 1}. Never None. Missing: any missing or unreadable tag costs the whole term. On its own it is a
    control arm: it says nothing about being right.
    Source: DeepSeek-R1, 2501.12948; as a part of RLCR, 2507.16806.

    >>> from rlvr.core.records import Problem
    >>> format(Completion(Problem("1", [], "4"), "<answer>4</answer>", answer="4", format_ok=True))
    1.0
    """
    return float(c.format_ok)
