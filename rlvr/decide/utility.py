"""Choose the action of highest expected utility: answer, abstain, escalate or resample, from probability and prices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlvr.core.errors import DataError, SpecError

ACTIONS = ("answer", "abstain", "escalate", "resample")


@dataclass(frozen=True)
class Prices:
    """Hold what each outcome is worth, in one unit of your choice; a number, or one per decision (S,).

    Attributes:
        right, wrong: utility of giving a right or a wrong answer; wrong < right.
        abstain: utility of giving none.
        escalate: utility of passing the question on, all costs included; None where nobody can take it.
        resample: utility of one more draw, negative because it costs; None where only one is to be had.

    Raises:
        SpecError: a price is not finite, wrong is not below right, or drawing again is free.

    >>> round(float(Prices(wrong=-5).threshold), 3)
    0.833
    """

    right: float | NDArray[np.float64] = 1.0
    wrong: float | NDArray[np.float64] = -1.0
    abstain: float | NDArray[np.float64] = 0.0
    escalate: float | NDArray[np.float64] | None = None
    resample: float | NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name, price in vars(self).items():
            if price is not None and not np.isfinite(price).all():
                raise SpecError(f"The price of {name!r} must be a finite number, got {price}.")
        if not np.all(np.less(self.wrong, self.right)):
            raise SpecError(f"wrong must be worth less than right, got wrong={self.wrong} and right={self.right}.")
        if self.resample is not None and not np.all(np.less(self.resample, 0)):
            raise SpecError(f"resample is the price of one more draw and must be below 0, got {self.resample}.")

    @property
    def otherwise(self) -> float | NDArray[np.float64]:
        """Return the best that can be had without answering: max(abstain, escalate)."""
        return self.abstain if self.escalate is None else np.maximum(self.abstain, self.escalate)

    @property
    def threshold(self) -> float | NDArray[np.float64]:
        """Return the probability from which answering pays: (max(abstain, escalate) - wrong) / (right - wrong)."""
        return (self.otherwise - self.wrong) / np.subtract(self.right, self.wrong)

    def expected(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the expected utility of the better of answering and not, shape (S,); NaN means no answer."""
        return np.fmax(self.answering(q), self.otherwise)

    def answering(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return q right + (1 - q) wrong, the expected utility of answering, shape (S,)."""
        q_S = np.asarray(q, dtype=float)
        return q_S * self.right + (1 - q_S) * self.wrong


def choose(q: ArrayLike, prices: Prices, drawing: ArrayLike | None = None) -> NDArray[np.int64]:
    """Return for each decision the index in `ACTIONS` of the action of highest expected utility.

        answer: q right + (1 - q) wrong;  abstain, escalate: their price;  resample: its price + `drawing`

    Ties go to the earlier action. A missing probability (NaN) is never answered: nothing is imputed.

    Args:
        q: P(right) of shape (S,), in [0, 1] or NaN.
        drawing: expected utility after one more draw, before its price, shape (S,) (see `NextDraw`); needed
            where `prices.resample` is given.

    Raises:
        DataError: a q outside [0, 1]; `resample` has a price but `drawing` is missing.

    Source: expected utility; abstention as a priced action, Chow 1970.

    >>> [ACTIONS[i] for i in choose([0.9, 0.5, float("nan")], Prices(wrong=-5, escalate=0.4))]
    ['answer', 'escalate', 'escalate']
    """
    q_S = np.asarray(q, dtype=float)
    if q_S.ndim != 1 or ((q_S < 0) | (q_S > 1)).any():
        raise DataError(f"Probabilities must have shape (S,) and lie in [0, 1], found shape {q_S.shape}.")
    if prices.resample is not None and drawing is None:
        raise DataError("resample has a price, so choose() needs `drawing`, what one more draw is worth. Fit NextDraw.")
    worth = [
        np.where(np.isnan(q_S), -np.inf, prices.answering(q_S)),
        prices.abstain,
        -np.inf if prices.escalate is None else prices.escalate,
        -np.inf if prices.resample is None else np.add(prices.resample, drawing),  # type: ignore[arg-type]
    ]
    return _first_of_best(np.stack([np.broadcast_to(one, q_S.shape) for one in worth], axis=-1))


def choose_by_matrix(probabilities: ArrayLike, utility: ArrayLike) -> NDArray[np.int64]:
    """Return argmax_a sum_y utility[a, y] P(y), the action of highest expected utility, shape (S,).

    Args:
        probabilities: P(y) of shape (S, K).
        utility: (A, K), or (S, A, K) where it differs by decision; a cost matrix is its negative.

    Ties go to the earlier action. Raises DataError when the shapes do not fit or a number is not finite.
    Source: Elkan 2001, The Foundations of Cost-Sensitive Learning.

    >>> choose_by_matrix([[0.9, 0.1], [0.4, 0.6]], [[1, -5], [0, 0]]).tolist()
    [0, 1]
    """
    p_SK, u = np.asarray(probabilities, dtype=float), np.asarray(utility, dtype=float)
    if p_SK.ndim != 2 or u.ndim not in (2, 3) or u.shape[-1] != p_SK.shape[1] or (u.ndim == 3 and len(u) != len(p_SK)):
        raise DataError(f"Expected (S, K) and (A, K) or (S, A, K), found {p_SK.shape} and {u.shape}.")
    if not (np.isfinite(p_SK).all() and np.isfinite(u).all()):
        raise DataError("Probabilities and utilities must be finite; leave missing ones out first.")
    return _first_of_best(np.einsum("...ak,...k->...a", u, p_SK))


def _first_of_best(worth_SA: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the first action within rounding of the best: 0.7 - 0.3 * 3 is a tie with -0.2, whatever floats say."""
    best_S1 = worth_SA.max(-1, keepdims=True)
    return np.argmax(worth_SA >= best_S1 - 1e-12 * np.maximum(1, np.abs(best_S1)), axis=-1)
