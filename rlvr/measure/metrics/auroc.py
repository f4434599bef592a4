"""AUROC: does confidence tell right from wrong?"""

import numpy as np
from numpy.typing import ArrayLike

from rlvr.measure.metrics.pairs import as_pairs, ratio, sums_by


def auroc(confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None):
    """Return the area under the ROC curve of confidence as a detector of right answers.

        P(q_right > q_wrong) + P(q_right = q_wrong) / 2     over all (right, wrong) pairs of samples

    In [0, 1], higher is better, 0.5 for a constant. It sees the order of confidences only, not their size.

    Args:
        confidence: shape (S,), in [0, 1].
        correct: shape (S,), 0 or 1.
        weights: None, (S,) or (R, S); with R rows the result has shape (R,).

    NaN when all are right or all are wrong: there is nothing to tell apart. Errors as in `as_pairs`.
    Source: Hanley and McNeil 1982, Radiology 143.

    >>> float(auroc([0.9, 0.5, 0.5], [1, 1, 0]))
    0.75
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    right, wrong = sums_by(q_S, w, y_S, 1 - y_S)
    below = np.cumsum(wrong, axis=-1) - wrong
    return ratio((right * (below + wrong / 2)).sum(-1), right.sum(-1) * wrong.sum(-1))
