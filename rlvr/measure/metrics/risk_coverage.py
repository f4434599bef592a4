"""Risk and coverage: how often the answers are wrong when only the most confident ones are given."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from rlvr.measure.metrics.pairs import as_pairs, ratio, sums_by


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coverage i/N and the error rate of the i most confident samples, i = 1..N, each of shape (N,).

    Equal confidences have no order, so within a tie the curve is the mean over all orders (errors grow
    linearly). Both in [0, 1]. Empty arrays without pairs. Errors as in `as_pairs`. Source: 1705.08500.

    >>> [x.round(3).tolist() for x in risk_coverage([0.9, 0.5, 0.5], [1, 1, 0])]
    [[0.333, 0.667, 1.0], [0.0, 0.25, 0.333]]
    """
    q_S, y_S, w = as_pairs(confidence, correct)
    count, wrong = sums_by(-q_S, w, np.ones_like(q_S), 1 - y_S)
    kept = np.arange(1, np.size(confidence) + 1)
    errors = np.interp(kept, np.cumsum([0, *count]), np.cumsum([0, *wrong]))
    return kept / max(1, kept.size), errors / kept


def risk_at_coverage(
    confidence: ArrayLike, correct: ArrayLike, coverages: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the error rate of the most confident share, for each of `coverages`, shape (C,) or (R, C).

    In [0, 1], lower is better; ties as in `risk_coverage`, of which this is points, between samples by
    interpolation of the errors. Weights of shape (R, S) give one row per resample. NaN without pairs.
    Errors as in `as_pairs`. Source: 1705.08500.

    >>> risk_at_coverage([0.9, 0.5, 0.5], [1, 1, 0], [1 / 3, 1]).round(3).tolist()
    [0.0, 0.333]
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    count, wrong = (np.atleast_2d(part) for part in sums_by(-q_S, w, np.ones_like(q_S), 1 - y_S))
    seen, errors = (np.cumsum(np.pad(part, ((0, 0), (1, 0))), axis=1) for part in (count, wrong))
    kept_RC = seen[:, -1:] * np.asarray(coverages, dtype=float)
    errors_RC = np.array([np.interp(kept, s, e) for kept, s, e in zip(kept_RC, seen, errors, strict=True)])
    return ratio(errors_RC, kept_RC) if w.ndim == 2 else ratio(errors_RC, kept_RC)[0]


def aurc(confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None):
    """Return the area under the risk-coverage curve, the mean of the error rates of the i most confident.

    In [0, 1], lower is better; a constant confidence gives the error rate. Ties are averaged over all orders,
    in closed form: a tie of m samples with e errors after a samples with b errors adds
    e + (b - a e/m) (H(a+m) - H(a)), H the harmonic numbers. A weight of 2 counts a sample twice, tied with
    itself.

    Args:
        confidence: shape (S,), in [0, 1].
        correct: shape (S,), 0 or 1.
        weights: None, (S,) or (R, S); with R rows the result has shape (R,).

    NaN without pairs. Errors as in `as_pairs`. Source: 1805.08206.

    >>> round(float(aurc([0.9, 0.5, 0.5], [1, 1, 0])), 4)
    0.1944
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    m, e = sums_by(-q_S, w, np.ones_like(q_S), 1 - y_S)
    end, errors = np.cumsum(m, axis=-1), np.cumsum(e, axis=-1)
    harmonic = digamma(end + 1)
    start = np.full_like(harmonic[..., :1], digamma(1.0))
    step = np.diff(harmonic, axis=-1, prepend=start)
    before = (errors - e) - (end - m) * e / np.where(m == 0, 1.0, m)
    return ratio((e + before * step).sum(-1), end[..., -1])
