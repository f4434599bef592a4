"""The share of distinct word n-grams: low when a completion goes round in circles."""

from rlvr import Completion


def repetition(c: Completion, *, n: int = 4) -> float:
    """Return (number of distinct n-grams) / (number of n-grams) of the words of the text.

    Words are what white space separates; a text with fewer than n words is one n-gram.
    Range (0, 1], 1 without repetition. Never None. Missing: a text without words is worth 0.
    Raises ValueError unless n is a whole number >= 1.
    Source: the n-gram repetition penalty of 2502.03373, as a reward.

    >>> from rlvr.core.records import Problem
    >>> repetition(Completion(Problem("1", [], "4"), "a b a b a b"), n=2)
    0.4
    """
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"repetition needs a whole number n >= 1, got n={n!r}")
    words = c.text.split()
    if not words:
        return 0.0
    grams = [tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))]
    return len(set(grams)) / len(grams)
