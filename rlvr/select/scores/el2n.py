"""EL2N: the length of a classifier's error vector early in training."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from rlvr.select.scores.probe import epochs, labelled


class El2n(BaseEstimator):
    """Score a row by the length of its error vector early in training, averaged over fresh classifiers.

    score_i = mean over models of || p(. | x_i) - onehot(y_i) ||_2, in [0, sqrt(2)].

    Args:
        probe: a scikit-learn classifier with `partial_fit` and `predict_proba`; None takes a small MLP.
        n_models: classifiers, each from its own seed.
        n_epochs: passes over the data before the error is read.

    After `fit`: `scores_` (R,). Raises DataError unless there are two classes. Source: Paul 2107.07075.

    >>> X, y = [[0.0], [0.1], [1.0], [0.9], [1.0]], [0, 0, 1, 1, 0]  # the last label is wrong
    >>> int(El2n(n_models=1, n_epochs=100).fit(X, y).scores_.argmax())
    4
    """

    def __init__(self, probe: Any = None, n_models: int = 5, n_epochs: int = 2, seed: int = 0):
        self.probe = probe
        self.n_models = n_models
        self.n_epochs = n_epochs
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> "El2n":
        """Train the classifiers on the rows and score each row."""
        features, labels = labelled(X, y)
        onehot = np.eye(labels.max() + 1)[labels]
        errors = []
        for i in range(self.n_models):
            *_, model = epochs(self.probe, features, labels, self.n_epochs, self.seed + i)
            errors.append(np.linalg.norm(model.predict_proba(features) - onehot, axis=1))
        self.scores_ = np.mean(errors, axis=0)
        return self
