"""Play policies on stored samples: acting on the confidence, beside answering always and a fixed threshold."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlvr.decide.next_draw import NextDraw
from rlvr.decide.utility import ACTIONS, Prices, choose

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """Hold what a policy did and earned: one row per stored sample, each the first draw of one decision.

    Attributes:
        action_S: index in `ACTIONS` of the last action (never resample).
        right_S: 1 where the answer given was right; 0 where it was wrong or none was given.
        payoff_S: utility earned, draws paid.
        draws_S: samples looked at, 1 without resampling.
    """

    action_S: NDArray[np.int64]
    right_S: Array
    payoff_S: Array
    draws_S: Array

    @property
    def answered_S(self) -> Array:
        """Return 1 where an answer was given, else 0."""
        return (self.action_S == 0).astype(float)


def play(q_S: Array, correct_S: Array, problem_S: NDArray[np.int64], prices: Prices, draw: NextDraw | None = None):
    """Return the Outcome of choosing by expected utility; a draw adds the next stored sample of the problem.

    Every sample is once the first draw; drawing again goes round the problem's samples and keeps the one of
    highest probability. When all were seen, the choice is among the other actions. Samples of one problem
    stand together.

    >>> play(np.array([0.9, 0.2]), np.array([1.0, 0.0]), np.array([0, 1]), Prices(wrong=-5)).payoff_S.tolist()
    [1.0, 0.0]
    """
    start_S = np.arange(q_S.size)
    best_S, last_S, draws_S = start_S, start_S, np.ones(q_S.size)
    if prices.resample is not None and draw is not None:
        following_S = np.append(start_S[1:], 0)
        for group in np.split(start_S, np.flatnonzero(np.diff(problem_S)) + 1):
            following_S[group[-1:]] = group[0]
        known_S, active_S = np.nan_to_num(q_S, nan=-1.0), np.ones(q_S.size, dtype=bool)
        while active_S.any():
            action_S = choose(q_S[best_S], prices, draw.predict(q_S[best_S], prices))
            active_S &= (action_S == ACTIONS.index("resample")) & (following_S[last_S] != start_S)
            last_S = np.where(active_S, following_S[last_S], last_S)
            draws_S = draws_S + active_S
            best_S = np.where(active_S & (known_S[last_S] > known_S[best_S]), last_S, best_S)
    action_S = choose(q_S[best_S], replace(prices, resample=None))
    paid = 0.0 if prices.resample is None else prices.resample
    return _outcome(action_S, correct_S[best_S], prices, draws_S, (draws_S - 1) * paid)


def always_answer(correct_S: Array, prices: Prices) -> Outcome:
    """Return the Outcome of giving every answer."""
    return _outcome(np.zeros(correct_S.size, dtype=np.int64), correct_S, prices)


def with_threshold(q_S: Array, correct_S: Array, prices: Prices, threshold: float | Array) -> Outcome:
    """Return the Outcome of answering from a fixed confidence on, whatever the confidence means."""
    instead_S = np.where(np.less(prices.abstain, prices.otherwise), ACTIONS.index("escalate"), ACTIONS.index("abstain"))
    return _outcome(np.where(q_S >= threshold, 0, instead_S), correct_S, prices)


def best_threshold(
    q_S: Array, correct_S: Array, problem_S: NDArray[np.int64], prices: Prices, leave_out: bool = False
) -> float | Array:
    """Return the threshold on q that earned most, among 101 quantiles of q and "never" (infinity).

    With `leave_out`, one for each sample, chosen on all *other* problems, shape (S,): like the constant baseline
    of the Brier score, a threshold never sees the problem that it is judged on.
    """
    stated = q_S[~np.isnan(q_S)]
    grid_T = np.append(
        np.unique(np.quantile(stated, np.linspace(0, 1, 101), method="lower")) if stated.size else [], np.inf
    )
    gain_S = always_answer(correct_S, prices).payoff_S - prices.otherwise
    gain_ST = (q_S[:, None] >= grid_T) * gain_S[:, None]
    total_T = gain_ST.sum(0)
    if not leave_out:
        return float(grid_T[np.argmax(total_T)])
    gain_PT = np.zeros((problem_S.max(initial=0) + 1, grid_T.size))
    np.add.at(gain_PT, problem_S, gain_ST)
    return grid_T[np.argmax(total_T - gain_PT, axis=1)][problem_S]


def _outcome(action_S: NDArray[np.int64], correct_S: Array, prices: Prices, draws_S=None, paid_S=0.0) -> Outcome:
    answer_S = np.where(correct_S == 1, prices.right, prices.wrong)
    instead_S = np.where(action_S == ACTIONS.index("escalate"), prices.otherwise, prices.abstain)
    return Outcome(
        action_S,
        np.where(action_S == 0, correct_S, 0.0),
        np.where(action_S == 0, answer_S, instead_S) + paid_S,
        np.ones(action_S.size) if draws_S is None else draws_S,
    )
