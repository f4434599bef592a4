"""Memorisation: what it costs a row to be left out of the training data."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression

from rlvr.core.errors import DataError
from rlvr.select.scores.probe import labelled


class Memorisation(BaseEstimator):
    """Score a row by the leave-out estimate of memorisation over classifiers trained on random subsets.

    score_i = P[right at x_i | row i in the subset] - P[right at x_i | row i left out], in [-1, 1]; both are shares of
    the same `n_models` classifiers, so the standard error is about 1 / sqrt(n_models).

    Args:
        estimator: a scikit-learn classifier; None takes multinomial logistic regression.
        n_models: classifiers; subset: share of the rows that each is trained on, in (0, 1).

    After `fit`: `scores_` (R,), `n_in_` (R,): how many subsets hold each row. Raises DataError if a row was always in
    or always out (more models mend that). Source: Feldman and Zhang 2008.03703.

    >>> X = [[0.0], [0.1], [0.2], [1.0], [0.9], [0.8], [5.0]]
    >>> y = [0, 0, 0, 1, 1, 1, 0]  # the last row cannot be guessed from the others
    >>> int(Memorisation(LogisticRegression(C=1e3), n_models=60).fit(X, y).scores_.argmax())
    6
    """

    def __init__(self, estimator: Any = None, n_models: int = 40, subset: float = 0.7, seed: int = 0):
        self.estimator = estimator
        self.n_models = n_models
        self.subset = subset
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> "Memorisation":
        """Train on random subsets and compare each row's accuracy inside and outside of them."""
        features, labels = labelled(X, y)
        draw, size = np.random.default_rng(self.seed), round(self.subset * len(labels))
        is_in_MR = np.zeros((self.n_models, len(labels)), dtype=bool)
        right_MR = np.zeros_like(is_in_MR)
        for is_in_R, right_R in zip(is_in_MR, right_MR, strict=True):
            is_in_R[draw.permutation(len(labels))[:size]] = True
            model = clone(LogisticRegression(max_iter=500) if self.estimator is None else self.estimator)
            right_R[:] = model.fit(features[is_in_R], labels[is_in_R]).predict(features) == labels
        self.n_in_ = is_in_MR.sum(0)
        if not ((self.n_in_ > 0) & (self.n_in_ < self.n_models)).all():
            raise DataError(f"With n_models={self.n_models} some row was always in or always out. Take more models.")
        inside = (right_MR & is_in_MR).sum(0) / self.n_in_
        outside = (right_MR & ~is_in_MR).sum(0) / (self.n_models - self.n_in_)
        self.scores_ = inside - outside
        return self
