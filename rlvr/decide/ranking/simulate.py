"""Simulate users, for tests and findings: the truth is known, and the log is biased as real ones are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rlvr.decide.ranking.log import Log

Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Hold lists of candidates with 5 standard normal features, an old ranker, users who favour the first places.

    Relevance is expit(-1 + 1.2 x0 + 0.8 x1 x2). The old ranker scores agreement * (standardised relevance logit)
    + sqrt(1 - agreement^2) * x3: x3 (think of length) is what it likes and nobody needs; x4 is noise. Only such an
    error, a function of the features, misleads a naive ranker: pure noise in the old score leaves the order right.

    Args:
        generator: "pbm", P(chosen) = rank^-eta * relevance (multiplicative examination), or "additive",
            logit P(chosen) = logit relevance - eta ln(rank). In both the true curve is -eta ln(rank).
        size: candidates per list.
        eta: severity of the position bias, from 0.
        agreement: correlation of the old ranker with the relevance logit, in [0, 1].
        exploration: standard deviation of the noise added to a standardised score before a list is shown.
    """

    generator: str = "pbm"
    size: int = 8
    eta: float = 1.0
    agreement: float = 0.5
    exploration: float = 0.5

    def candidates(self, rng: np.random.Generator, lists: int) -> Array:
        """Return features (L, size, 5)."""
        return rng.standard_normal((lists, self.size, 5))

    def logit(self, X: Array) -> Array:
        """Return the relevance logit of features (..., 5)."""
        return -1 + 1.2 * X[..., 0] + 0.8 * X[..., 1] * X[..., 2]

    def old_score(self, X: Array) -> Array:
        """Return the score of the ranker that made the log, mean 0 and variance 1."""
        standard = (self.logit(X) + 1) / np.sqrt(1.2**2 + 0.8**2)
        return self.agreement * standard + np.sqrt(1 - self.agreement**2) * X[..., 3]

    def curve(self) -> Array:
        """Return what each position truly adds, -eta ln(rank), shape (size,)."""
        return -self.eta * np.log(np.arange(1, self.size + 1))

    def show(self, rng: np.random.Generator, X: Array, score: Array) -> Log:
        """Show lists (L, size, 5) in the order of score (L, size), with exploration, and log what users choose."""
        noisy = (score - score.mean()) / score.std() + self.exploration * rng.standard_normal(score.shape)
        rank = (-noisy).argsort(1).argsort(1)
        shift = self.curve()[rank]
        logit = self.logit(X)
        p = np.exp(shift) * expit(logit) if self.generator == "pbm" else expit(logit + shift)
        L = len(X)
        return Log(
            lists=np.repeat(np.arange(L), self.size).astype(object),
            features=tuple(f"x/{d}" for d in range(X.shape[-1])),
            X=X.reshape(L * self.size, -1),
            y={"chosen": (rng.random(p.shape) < p).astype(float).ravel()},
            bias={"position": (rank + 1).ravel().astype(object)},
        )
