"""Accuracy against the number of samples: majority, confidence-weighted vote, and the most confident sample."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import DataError, did_you_mean
from rlvr.measure.metrics.arrays import CONFIDENCES, sample_confidences
from rlvr.measure.metrics.bootstrap import Interval, bootstrap_mean, paired_difference
from rlvr.measure.metrics.exact import never_certain

Array = NDArray[np.float64]
RULES = ("majority", "confidence-weighted vote", "most confident")
MAJORITY, WEIGHTED, BEST = RULES
_SUBSETS = 64  # per problem and n: all of them where there are no more, else as many drawn at random


def vote_curve(
    eval: Mapping[str, Any],
    ns: Sequence[int] | None = None,
    confidence: str = "stated",
    n_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[int, Interval]]:
    """Return rule -> n -> accuracy of choosing one answer out of n samples, with intervals over problems.

    majority: the most frequent answer. confidence-weighted vote: the largest summed confidence (2507.16806).
    most confident: the answer of the sample that states most (best-of-n). Ties count in parts. A missing
    confidence weighs 0 and an answer that is missing neither votes nor is right. Beside the rules,
    `"<rule> - majority"` holds their paired differences. At n = 1 all rules give pass@1.

    Accuracy in [0, 1] is the mean over all n-subsets of a problem's samples with a verdict, or over 64 random
    ones, the same for every rule. A problem with fewer than n counts for no such n.

    Args:
        ns: None takes 1 and the powers of two that nine in ten problems reach; none where no sample has a verdict.

    Raises:
        DataError: unknown confidence, or an n that no problem reaches.

    >>> sample = {"correct": False, "confidence": 0.2, "answer": "4", "tokens": 9, "logp": -1.0}
    >>> right = {**sample, "correct": True, "confidence": 0.9, "answer": "5"}
    >>> curve = vote_curve({"problems": [{"samples": [sample, sample, right]}]}, [3])
    >>> [curve[rule][3].value for rule in RULES]
    [0.0, 1.0, 1.0]
    """
    if confidence not in CONFIDENCES:
        raise DataError(did_you_mean("confidence", confidence, CONFIDENCES))
    problems = [_columns(problem["samples"], confidence) for problem in eval["problems"]]
    sizes = [right.size for right, *_ in problems]
    if ns is None:
        most = int(np.quantile(sizes, 0.1, method="lower")) if sizes else 0
        most = max(most, int(any(sizes)))  # one vote can be judged wherever there is one verdict
        ns = [2**i for i in range(most.bit_length())]
    curve: dict[str, dict[int, Interval]] = {}
    for n in ns:
        if n < 1 or n > max(sizes, default=0):
            raise DataError(f"A vote of {n} needs {n} samples per problem; found at most {max(sizes, default=0)}.")
        rows = [
            _accuracies(*columns, subsets(size, n, seed + i)) if size >= n else (math.nan,) * 3
            for i, (columns, size) in enumerate(zip(problems, sizes, strict=True))
        ]
        by_rule = dict(zip(RULES, np.array(rows).T, strict=True))
        for rule, values_P in by_rule.items():
            curve.setdefault(rule, {})[n] = never_certain(bootstrap_mean(values_P, n_resamples=n_resamples, seed=seed))
        for rule in RULES[1:]:
            gain = paired_difference(by_rule[MAJORITY], by_rule[rule], n_resamples=n_resamples, seed=seed)
            curve.setdefault(f"{rule} - {MAJORITY}", {})[n] = gain
    return curve


def subsets(size: int, n: int, seed: int) -> NDArray[np.int64]:
    """Return all n-subsets of range(size), or 64 random ones where there are more, shape (subsets, n).

    >>> subsets(3, 2, 0).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    if math.comb(size, n) <= _SUBSETS:
        return np.array(list(itertools.combinations(range(size), n)))
    rng = np.random.default_rng(seed)
    return np.argsort(rng.random((_SUBSETS, size)), axis=1)[:, :n]


def _columns(samples: list[dict[str, Any]], kind: str) -> tuple[Array, NDArray[np.int64], Array]:
    """Return correct, answer number (-1 for none) and confidence (-1 for none) of the samples with a verdict."""
    stated = sample_confidences(samples, kind)
    kept = [(s["correct"], s["answer"], q) for s, q in zip(samples, stated, strict=True) if s["correct"] is not None]
    names = {answer: i for i, answer in enumerate(dict.fromkeys(a for _, a, _ in kept if a is not None))}
    return (
        np.array([float(right) for right, _, _ in kept]),
        np.array([-1 if answer is None else names[answer] for _, answer, _ in kept], dtype=np.int64),
        np.array([-1.0 if q is None else q for *_, q in kept]),
    )


def _accuracies(right: Array, answer: NDArray[np.int64], q: Array, subset_Kn: NDArray[np.int64]) -> tuple[float, ...]:
    """Return the accuracy of each of `RULES`, mean over the subsets K."""
    given_nA = answer[:, None] == np.arange(answer.max(initial=-1) + 1)  # a sample without an answer has none
    count_KA = given_nA[subset_Kn].sum(1)
    right_KA = (given_nA * right[:, None])[subset_Kn].sum(1) / np.maximum(count_KA, 1)
    weight_KA = (given_nA * np.maximum(q, 0)[:, None])[subset_Kn].sum(1)
    weight_KA = np.where(count_KA > 0, weight_KA, -1.0)
    voted = [_mean_of_best(score_KA, right_KA) for score_KA in (np.where(count_KA > 0, count_KA, -1.0), weight_KA)]
    answered_n = answer >= 0
    score_Kn = np.where(answered_n, q, -2.0)[subset_Kn]  # an answer beats none, a stated confidence beats none
    return *voted, _mean_of_best(score_Kn, (right * answered_n)[subset_Kn])


def _mean_of_best(score: Array, right: Array) -> float:
    """Return the mean over rows of the mean of `right` among the columns of largest score; 0 without columns."""
    if not score.shape[1]:
        return 0.0
    best = score >= score.max(1, keepdims=True) - 1e-12
    best &= score > -2.0
    return float((np.where(best, right, 0).sum(1) / np.maximum(best.sum(1), 1)).mean())
