"""Forgetting events: how often a classifier in training unlearns a row."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from rlvr.select.scores.probe import epochs, labelled


def count_forgetting(correct_ER: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the changes from right to wrong along the epochs, shape (R,); E where a row was never right.

    E epochs allow at most E / 2 events, so a row that was never learned counts as harder than any that was.

    >>> count_forgetting(np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0]], dtype=bool))
    array([1., 0., 3.])
    """
    events = (correct_ER[:-1] & ~correct_ER[1:]).sum(0).astype(float)
    return np.where(correct_ER.any(0), events, len(correct_ER))


class Forgetting(BaseEstimator):
    """Score a row by its forgetting events between epochs, averaged over classifiers.

    score_i = mean over models of #{e: right after epoch e, wrong after e + 1}, in [0, n_epochs / 2]; n_epochs where the
    row was never right. The paper reads a row whenever its minibatch comes; here every row is read after every epoch.

    Args:
        probe: a scikit-learn classifier with `partial_fit`; None takes a small MLP.
        n_models, n_epochs: classifiers, and passes of each.

    After `fit`: `scores_` (R,). Raises DataError unless there are two classes. Source: Toneva 1812.05159.

    >>> X, y = [[0.0], [0.1], [1.0], [0.9], [1.0]], [0, 0, 1, 1, 0]  # the last label is wrong
    >>> int(Forgetting(n_models=1, n_epochs=100).fit(X, y).scores_.argmax())
    4
    """

    def __init__(self, probe: Any = None, n_models: int = 3, n_epochs: int = 20, seed: int = 0):
        self.probe = probe
        self.n_models = n_models
        self.n_epochs = n_epochs
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> "Forgetting":
        """Train the classifiers on the rows and count each row's events."""
        features, labels = labelled(X, y)
        counts = []
        for i in range(self.n_models):
            models = epochs(self.probe, features, labels, self.n_epochs, self.seed + i)
            counts.append(count_forgetting(np.array([model.predict(features) == labels for model in models])))
        self.scores_ = np.mean(counts, axis=0)
        return self
