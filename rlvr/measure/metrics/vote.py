"""Votes: one answer out of several samples of the same problem."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np


def confidence_weighted_vote(answers: Sequence[str | None], confidences: Sequence[float | None]) -> tuple[str, ...]:
    """Return the answers a with the largest summed confidence, sum_{i: y_i = a} q_i; several when tied.

    Samples without an answer do not vote, and samples without a confidence add 0: nothing is imputed. Order
    of the samples never matters; the winners come sorted. Empty when nobody answered. Source: 2502.06233.

    >>> confidence_weighted_vote(["a", "a", "b"], [0.2, 0.2, 0.9])
    ('b',)
    """
    votes: dict[str, list[float]] = {}
    for answer, confidence in zip(answers, confidences, strict=True):
        if answer is not None:
            votes.setdefault(answer, []).append(0.0 if confidence is None else confidence)
    totals = {answer: math.fsum(parts) for answer, parts in votes.items()}  # order cannot break a tie
    best = max(totals.values(), default=0.0)
    return tuple(sorted(answer for answer, total in totals.items() if math.isclose(total, best, abs_tol=1e-12)))


def majority(answers: Sequence[str | None]) -> tuple[str, ...]:
    """Return the most frequent answers, several when tied; None is no vote. Source: 2203.11171.

    >>> majority(["46", "45", "46", None]), majority(["1", "2"]), majority([None])
    (('46',), ('1', '2'), ())
    """
    return confidence_weighted_vote(answers, [1.0] * len(answers))


def vote_accuracy(winners: Sequence[str], answers: Sequence[str | None], correct: Sequence[bool | None]) -> float:
    """Return the chance that a winner drawn at random among ties is right; in [0, 1], 0 without a winner.

    A winner's correctness is the mean verdict of the samples that gave it. None as a verdict (the verifier
    failed) is left out; NaN when a winner has no verdict at all.

    >>> vote_accuracy(("1", "2"), ["1", "2"], [True, False])
    0.5
    """
    if not winners:
        return 0.0
    given = [(answer, verdict) for answer, verdict in zip(answers, correct, strict=True) if verdict is not None]
    verdicts = [[verdict for answer, verdict in given if answer == winner] for winner in winners]
    return float(np.mean([np.mean(v) if v else np.nan for v in verdicts]))


def vote_share(answers: Sequence[str | None]) -> list[float | None]:
    """Return for each sample the share of all samples with the same answer, itself included.

    In [1/n, 1], None without an answer: a confidence that needs no words. Source: 2203.11171.

    >>> vote_share(["46", "45", "46", None])
    [0.5, 0.25, 0.5, None]
    """
    counts = Counter(answers)
    return [None if answer is None else counts[answer] / len(answers) for answer in answers]
