"""What one more sample is worth: learned on validation from how confidences of one problem go together."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from rlvr.decide.utility import Prices
from rlvr.errors import DataError


class NextDraw(BaseEstimator):
    """The distribution of the next sample's probability q', given the best one so far, q.

    Samples of a hard problem are all unsure, so q' is not drawn from the pool of all problems: `fit` gathers
    the ordered pairs (q, q') of different samples of one problem and cuts them into groups of equal size by q.

    Args:
        groups: how many; a constant confidence leaves one.

    `fit(q_S, problem_S)`, then `predict(q_S, prices)` returns E[max(v(q), v(q')) | q] of shape (S,), where
    v(q) is the utility of the better of answering and not (`Prices.expected`). One-step look-ahead: a later
    draw after the next is not counted, so it stops too early rather than too late. Source: sequential search
    with recall, Weitzman 1979.

    >>> draw = NextDraw(groups=1).fit([0.0, 1.0], [0, 0])
    >>> draw.predict([0.0], Prices(wrong=-1)).tolist()
    [0.5]
    """

    def __init__(self, groups: int = 10):
        self.groups = groups

    def fit(self, q: ArrayLike, problem: ArrayLike) -> Self:
        """Gather the pairs; DataError when no problem has two samples with a probability."""
        q_S, problem_S = np.asarray(q, dtype=float), np.asarray(problem)
        now, then = [], []
        for one in np.unique(problem_S):
            mine = q_S[problem_S == one]
            first, second = np.nonzero(~np.eye(len(mine), dtype=bool))
            now.append(mine[first])
            then.append(mine[second])
        before, after = np.concatenate([[], *now]), np.concatenate([[], *then])
        if not before.size:
            raise DataError("Learning what one more draw is worth takes problems with two or more samples each.")
        cuts = np.quantile(before, np.linspace(0, 1, self.groups + 1)[1:-1])
        self.cuts_ = np.unique(cuts)
        group = np.searchsorted(self.cuts_, before, side="right")
        self.next_: Sequence[NDArray[np.float64]] = [
            after[group == g] if (group == g).any() else after for g in range(len(self.cuts_) + 1)
        ]
        return self

    def predict(self, q: ArrayLike, prices: Prices) -> NDArray[np.float64]:
        """Return the expected utility after one more draw, before its price; q of NaN is below all others."""
        q_S = np.asarray(q, dtype=float)
        parts = np.nan_to_num(q_S, nan=-1.0), prices.right, prices.wrong, prices.otherwise
        cases, case_S = np.unique(np.stack([np.broadcast_to(p, q_S.shape) for p in parts]), axis=1, return_inverse=True)
        return np.array([self._value(*case) for case in cases.T])[case_S]

    def _value(self, q: float, right: float, wrong: float, otherwise: float) -> float:
        prices = Prices(right, wrong, otherwise)
        now = otherwise if q < 0 else prices.expected(q)
        following = self.next_[np.searchsorted(self.cuts_, q, side="right")]
        return float(np.maximum(now, prices.expected(following)).mean())
