"""Prototype distance: how far a row lies from the nearest centre of the model's own embeddings."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize

from rlvr.core.errors import DataError


class Prototype(BaseEstimator):
    """Score a row by its cosine distance to the nearest of k centres, found without labels.

    score_i = 1 - max over centres c of cos(x_i, c), in [0, 2]. Embeddings have their mean taken out (a language model's
    share one large direction) and are scaled to length 1 before k-means.

    Args:
        n_clusters: k; the paper finds any k within an order of magnitude of the number of classes to do.

    After `fit`: `scores_` (R,), `centres_` (k, D). Raises DataError for fewer rows than centres. Source: 2206.14486.

    >>> X = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [-1.0, -1.0]]
    >>> Prototype(n_clusters=2).fit(X).scores_.shape
    (5,)
    """

    def __init__(self, n_clusters: int = 10, seed: int = 0):
        self.n_clusters = n_clusters
        self.seed = seed

    def fit(self, X: ArrayLike, y: None = None) -> "Prototype":
        """Find the centres and each row's distance; `y` is not looked at."""
        features = np.asarray(X, dtype=float)
        if features.ndim != 2 or len(features) < self.n_clusters:
            raise DataError(f"{self.n_clusters} centres need as many rows, found features of shape {features.shape}.")
        unit = normalize(features - features.mean(0))
        self.centres_ = normalize(KMeans(self.n_clusters, n_init=4, random_state=self.seed).fit(unit).cluster_centers_)
        self.scores_ = 1 - (unit @ self.centres_.T).max(1)
        return self
