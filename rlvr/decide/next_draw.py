"""Estimate what one more sample is worth, learned on validation from how the samples of one problem go together."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from rlvr.core.errors import DataError
from rlvr.decide.utility import Prices, choose


class NextDraw(BaseEstimator):
    """Estimate what one more sample earns, given the probability q of the best one so far, from validation data.

    Two traps are avoided. Samples of a hard problem are all unsure, so the next one is not drawn from the pool of
    all problems: `fit` gathers the ordered pairs of different samples of one problem, (q, q') with the verdict y'
    of the second, and cuts them into groups of equal size by q. And the surest of several is right less often than
    it says, so a pair earns what y' says and not what q' promises.

    Args:
        groups: how many; a constant confidence leaves one.

    `fit(q_S, correct_S, problem_S)`, then `predict(q_S, prices)` returns, of shape (S,), the mean over the group
    of: the payoff of the second sample where q' > q and answering it pays, else the expected utility of what is
    there (`Prices.expected`). One-step look-ahead: draws after the next are not counted, so it stops early rather
    than late. Source: sequential search with recall, Weitzman 1979.

    >>> draw = NextDraw(groups=1).fit([0.0, 1.0], [0, 1], [0, 0])
    >>> draw.predict([0.0], Prices(wrong=-1)).tolist()
    [0.5]
    """

    def __init__(self, groups: int = 10):
        self.groups = groups

    def fit(self, q: ArrayLike, correct: ArrayLike, problem: ArrayLike) -> Self:
        """Gather the pairs; DataError when no problem has two samples with a probability."""
        q_S, y_S, problem_S = np.asarray(q, dtype=float), np.asarray(correct, dtype=float), np.asarray(problem)
        first, second = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for one in np.unique(problem_S):
            mine = np.flatnonzero(problem_S == one)
            now, then = np.nonzero(~np.eye(mine.size, dtype=bool))
            first.append(mine[now])
            second.append(mine[then])
        before_N, after_N = np.concatenate(first), np.concatenate(second)
        if not before_N.size:
            raise DataError("Learning what one more draw is worth takes problems with two or more samples each.")
        self.cuts_ = np.unique(np.quantile(q_S[before_N], np.linspace(0, 1, self.groups + 1)[1:-1]))
        group_N = np.searchsorted(self.cuts_, q_S[before_N], side="right")
        members = [after_N[group_N == g] for g in range(self.cuts_.size + 1)]
        self.next_ = [(q_S[m], y_S[m]) for m in (m if m.size else after_N for m in members)]
        return self

    def predict(self, q: ArrayLike, prices: Prices) -> NDArray[np.float64]:
        """Return the expected utility after one more draw, before its price; q of NaN is below all others."""
        q_S = np.asarray(q, dtype=float)
        parts = np.nan_to_num(q_S, nan=-1.0), prices.right, prices.wrong, prices.otherwise
        cases, case_S = np.unique(np.stack([np.broadcast_to(p, q_S.shape) for p in parts]), axis=1, return_inverse=True)
        return np.array([self._value(*case) for case in cases.T])[case_S]

    def _value(self, q: float, right: float, wrong: float, otherwise: float) -> float:
        prices = Prices(right, wrong, otherwise)
        now = otherwise if q < 0 else float(prices.expected(q))
        then_N, right_N = self.next_[int(np.searchsorted(self.cuts_, q, side="right"))]
        taken_N = (then_N > q) & (choose(then_N, prices) == 0)
        return float(np.where(taken_N, np.where(right_N == 1, right, wrong), now).mean())
