"""The Brier score and its parts: how far stated confidence is from what happened, and why."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlvr.measure.metrics.ece import bin_edges, bin_index
from rlvr.measure.metrics.pairs import as_pairs, ratio, sums_by


class BrierParts(NamedTuple):
    """Hold the parts of the Brier score: Brier = reliability - resolution + uncertainty."""

    reliability: np.ndarray
    resolution: np.ndarray
    uncertainty: np.ndarray


def brier(confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None):
    """Return the Brier score, the mean of (q - y)^2; in [0, 1], lower is better, 0.25 for always saying 0.5.

    Args:
        confidence: q, shape (S,), in [0, 1].
        correct: y, shape (S,), 0 or 1.
        weights: None, (S,) or (R, S); with R rows the result has shape (R,).

    NaN without pairs. Errors as in `as_pairs`. Source: Brier 1950, Monthly Weather Review 78.

    >>> round(float(brier([0.9, 0.2], [1, 1])), 3)
    0.325
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    return ratio(w @ (q_S - y_S) ** 2, w.sum(-1))


def brier_decomposition(
    confidence: ArrayLike, correct: ArrayLike, bins: int | None = None, weights: ArrayLike | None = None
) -> BrierParts:
    """Return the parts of the Brier score: Brier = reliability - resolution + uncertainty, exactly.

        reliability = sum_b n_b (qbar_b - ybar_b)^2 / N     in [0, 1], lower is better
        resolution  = sum_b n_b (ybar_b - ybar)^2 / N - within, higher is better
        uncertainty = ybar (1 - ybar)                       in [0, 0.25], of the problems, not of the model
        within      = sum_b sum_{i in b} (q_i - qbar_b)^2 - 2 (q_i - qbar_b)(y_i - ybar_b), over N

    Groups b are the distinct confidences (bins=None; then within = 0 and this is Murphy's identity) or
    equal-width bins, where `within` keeps the identity exact. With few pairs per group reliability and
    resolution are both biased upwards by the same amount: use bins for continuous confidences.

    Shapes, NaN and errors as in `brier`.
    Source: Murphy 1973, J. Applied Meteorology 12; within-bin terms: Stephenson, Coelho, Jolliffe 2008.

    >>> [round(float(part), 3) for part in brier_decomposition([0.8, 0.8, 0.1, 0.1], [1, 0, 0, 0])]
    [0.05, 0.062, 0.188]
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    group_S = q_S if bins is None else bin_index(q_S, bin_edges(q_S, bins))
    n, q, y, qq, qy = sums_by(group_S, w, np.ones_like(q_S), q_S, y_S, q_S**2, q_S * y_S)
    size = np.where(n == 0, 1.0, n)  # a group that a resample left empty adds nothing
    total = n.sum(-1)
    base = ratio(y.sum(-1), total)
    within = (qq - q**2 / size) - 2 * (qy - q * y / size)
    between = n * (y / size - np.expand_dims(base, -1)) ** 2
    return BrierParts(
        reliability=ratio(((q - y) ** 2 / size).sum(-1), total),
        resolution=ratio((between - within).sum(-1), total),
        uncertainty=base * (1 - base),
    )
