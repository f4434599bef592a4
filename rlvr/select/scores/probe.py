"""The small classifier that the supervised scores train, epoch by epoch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier

from rlvr.core.errors import DataError


def default_probe(n_rows: int) -> MLPClassifier:
    """Return one hidden layer of 64 ReLU units, trained by Adam in minibatches of 32 rows at most."""
    return MLPClassifier((64,), batch_size=min(32, n_rows), learning_rate_init=1e-3)


def labelled(X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return features (R, D) and labels as 0 .. K-1 (R,); DataError unless they match and there are two classes."""
    features, labels = np.asarray(X, dtype=float), np.asarray(y)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise DataError(f"A score needs features (R, D) and labels (R,), found {features.shape} and {labels.shape}.")
    names, index = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"A score that trains a classifier needs two classes or more, found {names.tolist()}.")
    return features, index.astype(np.int64)


def epochs(probe: Any, X: NDArray[np.float64], y: NDArray[np.int64], n: int, seed: int) -> Iterator[Any]:
    """Train a fresh copy of a scikit-learn classifier with `partial_fit` and yield it after each of n epochs."""
    model = clone(default_probe(len(y)) if probe is None else probe).set_params(random_state=seed)
    draw, classes = np.random.default_rng(seed), np.unique(y)
    for _ in range(n):
        order = draw.permutation(len(y))  # partial_fit itself takes the rows as they come
        yield model.partial_fit(X[order], y[order], classes=classes)
