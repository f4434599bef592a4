"""Prune by difficulty (2206.14486): which rows stay, given one difficulty score per row (higher is harder).

Keep the hard rows when data are abundant for the model, the easy ones when they are scarce. The hardest tail may be
wrong labels, so a window leaves it out (2107.07075); below about a third kept, scores alone lose to chance, so a share
of the budget is drawn at random (2302.06960).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from rlvr.core.errors import DataError, SpecError, did_you_mean

RULES = ("hard", "easy", "window", "random", "auto")
ABUNDANT = 1.6  # kept rows per free parameter where hard overtakes random: docs/findings/prune_difficulty.md


def auto_rule(n_kept: int, n_parameters: float | None = None, pass_rate: float | None = None) -> str:
    """Return "hard" where data are abundant for the model, else "easy".

    With a pass rate (its mean over the rows) the policy itself says so: abundant if it solves more than half.
    Otherwise the rows that will be kept per free parameter: abundant from ABUNDANT on.

    >>> auto_rule(200, n_parameters=100), auto_rule(100, n_parameters=100), auto_rule(100, pass_rate=0.8)
    ('hard', 'easy', 'hard')
    """
    if pass_rate is not None:
        return "hard" if pass_rate > 0.5 else "easy"
    if not n_parameters or n_parameters <= 0:
        raise SpecError("keep='auto' needs the number of free parameters (n_parameters) or a mean pass rate.")
    return "hard" if n_kept / n_parameters >= ABUNDANT else "easy"


class Prune(BaseEstimator):
    """Keep a fraction of the rows by difficulty, class by class; `fit(scores, classes)`, then `transform(rows)`.

    Args:
        keep: "hard", "easy", "window" (the hardest after the hardest `tail` is left out), "random", or "auto".
        fraction: share of the rows kept, in (0, 1]; rounded to rows so that the total is exact.
        tail: share of the rows that "window" leaves out at the hard end, in [0, 1).
        random_share: share of the kept rows drawn at random from those that the rule would drop, in [0, 1].
        n_parameters, pass_rate: what "auto" looks at, see `auto_rule`.
        seed: of the random share and of ties, which are broken at random, never by position.

    Every class keeps the same fraction (largest remainder), so pruning leaves the balance of classes as it was.
    After `fit`: `keep_` (the rule), `kept_` (R,) bool, `reasons_` (R,) text.

    Sources: Sorscher 2206.14486, Paul 2107.07075, Ayed and Hayou 2302.06960.

    >>> Prune(keep="hard", fraction=0.5, random_share=0).fit([0.1, 0.9, 0.4, 0.6]).transform(["a", "b", "c", "d"])
    ['b', 'd']
    """

    def __init__(
        self,
        keep: str = "auto",
        fraction: float = 0.5,
        tail: float = 0.1,
        random_share: float = 0.1,
        n_parameters: float | None = None,
        pass_rate: float | None = None,
        seed: int = 0,
    ):
        self.keep = keep
        self.fraction = fraction
        self.tail = tail
        self.random_share = random_share
        self.n_parameters = n_parameters
        self.pass_rate = pass_rate
        self.seed = seed

    def fit(self, scores: ArrayLike, classes: Sequence[Any] | None = None) -> "Prune":
        """Decide from one score per row; raises DataError for scores that are no finite numbers."""
        self.check()
        scores_R = np.asarray(scores, dtype=float)
        classes_R = (
            np.zeros(scores_R.shape, int)
            if classes is None
            else np.unique([str(c) for c in classes], return_inverse=True)[1]
        )
        if scores_R.ndim != 1 or not scores_R.size or not np.isfinite(scores_R).all():
            raise DataError(f"Pruning needs one finite score per row, found shape {scores_R.shape}, or a NaN in it.")
        if len(classes_R) != len(scores_R):
            raise DataError(f"Pruning needs one class per row, found {len(classes_R)} for {len(scores_R)} rows.")
        n_kept = max(1, round(self.fraction * len(scores_R)))
        self.keep_ = auto_rule(n_kept, self.n_parameters, self.pass_rate) if self.keep == "auto" else self.keep
        draw = np.random.default_rng(self.seed)
        self.reasons_ = np.full(len(scores_R), "", dtype=object)
        members = [np.flatnonzero(classes_R == label) for label in range(classes_R.max() + 1)]
        for rows, n in zip(members, quotas([len(m) for m in members], self.fraction), strict=True):
            self.reasons_[rows] = self._reasons(scores_R[rows], n, draw)
        self.kept_ = np.array([reason.startswith("kept") for reason in self.reasons_])
        return self

    def transform(self, rows: Sequence[Any]) -> list[Any]:
        """Return the kept ones of the rows that were fitted, in their order."""
        return [row for row, kept in zip(rows, self.kept_, strict=True) if kept]

    def check(self) -> None:
        """Raise SpecError for settings that no data could satisfy."""
        if self.keep not in RULES:
            raise SpecError(did_you_mean("pruning rule", self.keep, RULES))
        if not 0 < self.fraction <= 1 or not 0 <= self.tail < 1 or not 0 <= self.random_share <= 1:
            raise SpecError(
                "fraction lies in (0, 1], tail in [0, 1) and random_share in [0, 1]; "
                f"found {self.fraction}, {self.tail} and {self.random_share}."
            )

    def _reasons(self, scores_R: NDArray[np.float64], n: int, draw: np.random.Generator) -> NDArray[Any]:
        """Say of each row of one class why it stays or goes; n of them stay."""
        order = np.lexsort((draw.random(len(scores_R)), scores_R))  # easy to hard
        if self.keep_ == "random":
            order = draw.permutation(len(scores_R))
        by_rule = n if self.keep_ == "random" else n - round(self.random_share * n)
        reasons = np.full(len(scores_R), "dropped: too easy", dtype=object)
        if self.keep_ == "easy":
            reasons[order] = "dropped: too hard"
            chosen = order[:by_rule]
        elif self.keep_ == "random":
            reasons[order] = "dropped: by chance"
            chosen = order[:by_rule]
        else:
            cut = round(self.tail * len(order)) if self.keep_ == "window" else 0
            stop = max(by_rule, len(order) - cut)  # a window too small for the budget gives way to the budget
            reasons[order[stop:]] = "dropped: the hardest tail"
            chosen = order[stop - by_rule : stop]
        reasons[chosen] = f"kept: {self.keep_}"
        rest = np.setdiff1d(order, chosen)
        reasons[draw.choice(rest, n - by_rule, replace=False)] = "kept: random share"
        return reasons


def quotas(sizes: Sequence[int], fraction: float) -> list[int]:
    """Return how many rows of each class stay: round(fraction x rows) in all, by largest remainder.

    >>> quotas([3, 3, 4], 0.5)
    [2, 1, 2]
    """
    exact = np.asarray(sizes) * fraction
    whole = np.floor(exact + 1e-9).astype(int)
    missing = max(1, round(sum(sizes) * fraction)) - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole.tolist()
