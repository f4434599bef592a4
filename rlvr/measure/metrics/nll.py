"""Negative log-likelihood of what happened under the stated confidence."""

import numpy as np
from numpy.typing import ArrayLike

from rlvr.measure.metrics.pairs import as_pairs, ratio

EPS = 1e-3  # a stated "1" or "0" is taken as 0.999 or 0.001: one wrong certainty costs 6.9 nats, not infinity


def nll(confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None, eps: float = EPS):
    """Return the mean negative log-likelihood in nats, with confidence clipped to [eps, 1 - eps].

        -mean( y ln q + (1 - y) ln(1 - q) )     in [-ln(1 - eps), -ln eps], ln 2 = 0.693 for always 0.5

    Lower is better.

    Args:
        confidence: q, shape (S,), in [0, 1].
        correct: y, shape (S,), 0 or 1.
        weights: None, (S,) or (R, S); with R rows the result has shape (R,).
        eps: the clip, which sets the price of a wrong certainty; numbers with different eps do not compare.

    NaN without pairs. Errors as in `as_pairs`. Source: Good 1952, J. Royal Statistical Society B 14.

    >>> round(float(nll([1.0, 0.5], [0, 1])), 3)
    3.8
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    q_S = np.clip(q_S, eps, 1 - eps)
    return ratio(-(w @ np.where(y_S == 1, np.log(q_S), np.log1p(-q_S))), w.sum(-1))
