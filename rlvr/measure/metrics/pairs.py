"""The (confidence, correct) pairs that every calibration metric takes, and sums over groups of them.

Every such metric takes optional weights of shape (S,) or (R, S) and returns a number or an array (R,): R
bootstrap resamples are R rows of weights, so that one vectorised call serves the estimate and its interval.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlvr.core.errors import DataError

Array = NDArray[np.float64]


def as_pairs(confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None) -> tuple[Array, Array, Array]:
    """Return checked float arrays: confidence (S,) in [0, 1], correct (S,) in {0, 1}, weights (S,) or (R, S).

    Weights default to 1. Without pairs one pair of weight 0 is returned, so that ratios come out as NaN.

    Raises:
        DataError: lengths differ, a confidence is NaN or outside [0, 1], a verdict is neither 0 nor 1.

    >>> as_pairs([0.5, 1], [True, False])
    (array([0.5, 1. ]), array([1., 0.]), array([1., 1.]))
    """
    q_S, y_S = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    w = np.ones(q_S.shape) if weights is None else np.asarray(weights, dtype=float)
    if q_S.ndim != 1 or y_S.shape != q_S.shape or w.shape[-1:] != q_S.shape:
        raise DataError(
            f"Confidence, correct, weights must have one length; found {q_S.shape}, {y_S.shape}, {w.shape}."
        )
    if not ((q_S >= 0) & (q_S <= 1)).all():
        raise DataError("Confidence must be in [0, 1]; found a value outside or NaN. Leave unparsed samples out first.")
    if not ((y_S == 0) | (y_S == 1)).all():
        raise DataError("Correct must be 0 or 1; found something else. Leave samples without a verdict out first.")
    if not q_S.size:
        return np.array([0.5]), np.zeros(1), np.zeros((*w.shape[:-1], 1))
    return q_S, y_S, w


def sums_by(group_S: ArrayLike, weights: Array, *values_S: Array) -> list[Array]:
    """Return, for each of `values_S`, its weighted sum within each distinct group, groups ascending.

    Each sum has shape (..., V) for weights of shape (..., S) and V distinct values in `group_S`.

    >>> sums_by([2, 1, 2], np.ones(3), np.array([1.0, 10.0, 100.0]))
    [array([ 10., 101.])]
    """
    group_S = np.asarray(group_S, dtype=float)
    order = np.argsort(group_S, kind="stable")
    starts = np.flatnonzero(np.diff(group_S[order], prepend=np.nan))  # NaN differs from all: the first starts
    sorted_weights = weights[..., order]
    return [np.add.reduceat(sorted_weights * values[order], starts, axis=-1) for values in values_S]


def ratio(numerator: ArrayLike, denominator: ArrayLike):
    """Return numerator / denominator, NaN where the denominator is 0 (there is nothing to average).

    >>> float(ratio(1.0, 4.0)), float(ratio(0.0, 0.0))
    (0.25, nan)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(denominator, 0), np.nan, np.divide(numerator, denominator))[()]
