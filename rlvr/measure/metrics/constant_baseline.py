"""The baseline that every confidence must beat: one constant, chosen without looking at the problem."""

import numpy as np
from numpy.typing import ArrayLike

from rlvr.measure.metrics.pairs import ratio


def constant_baseline_brier_in_sample(accuracy: float) -> float:
    """Return accuracy (1 - accuracy), the Brier score of always saying the accuracy of these very samples.

    In [0, 0.25]. Its ECE is 0 and its AUROC 0.5, which is why ECE alone proves nothing. The constant has seen
    the answers it is judged on; `constant_baseline_brier` is the honest one.

    >>> constant_baseline_brier_in_sample(0.5)
    0.25
    """
    return accuracy * (1 - accuracy)


def constant_baseline_brier(n: ArrayLike, c: ArrayLike, counts: ArrayLike | None = None):
    """Return the Brier score of the constant confidence that the *other* problems would have chosen.

        q_p = sum_{r != p} c_r / sum_{r != p} n_r
        score = sum_p [ n_p q_p^2 - 2 q_p c_p + c_p ] / sum_p n_p

    Leave-one-problem-out: deterministic, no split to choose, and the constant never sees the problem it is
    judged on. In [0, 1], a little above accuracy (1 - accuracy), which it approaches with many problems.

    Args:
        n: pairs per problem, shape (P,); problems without pairs add nothing.
        c: right ones among them, shape (P,).
        counts: None, or how often each resample holds each problem, (R, P); the result is then (R,), and all
            copies of a problem are left out together.

    NaN when fewer than two problems have pairs: there is no other problem. Source: leave-one-out, Stone 1974.

    >>> round(float(constant_baseline_brier([1, 1, 1, 1], [1, 1, 0, 0])), 4)
    0.4444
    """
    n_P, c_P = np.asarray(n, dtype=float), np.asarray(c, dtype=float)
    counts = np.ones_like(n_P) if counts is None else np.asarray(counts, dtype=float)
    mine_n, mine_c = counts * n_P, counts * c_P
    total_n, total_c = mine_n.sum(-1, keepdims=True), mine_c.sum(-1, keepdims=True)
    others = total_n - mine_n
    q = (total_c - mine_c) / np.where(others == 0, 1.0, others)
    loss = mine_n * q**2 - 2 * q * mine_c + mine_c
    alone = ((others == 0) & (mine_n > 0)).any(-1)
    return np.where(alone, np.nan, ratio(loss.sum(-1), total_n[..., 0]))[()]
