"""Recalibrate: map stated to honest probabilities, fitted on validation data that nothing else uses."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logit, softmax
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from rlvr.core.errors import DataError
from rlvr.measure.metrics.pairs import as_pairs

_EDGE = 1e-3  # confidences of exactly 0 and 1 are moved this far in, as in `nll`, so that their logit exists


class Temperature(BaseEstimator):
    """Flatten (T > 1) or sharpen (T < 1) all probabilities by one number: softmax(log q / T).

    `fit(q, y)`: q of shape (S,) with y in {0, 1}, or (S, K) with classes y; T minimises the log loss within
    [0.01, 100]. `predict(q)` returns the same shape. The order of the confidences never changes.
    Source: 1706.04599.

    >>> Temperature().fit([0.99, 0.99, 0.99, 0.01], [1, 1, 0, 0]).temperature_ > 1
    True
    """

    def fit(self, q: ArrayLike, y: ArrayLike) -> Self:
        """Find `temperature_`; DataError without data."""
        logs, y_S = _logs(q), np.asarray(y, dtype=int)
        if not len(logs) or len(y_S) != len(logs):
            raise DataError(f"Temperature needs as many labels as probabilities, found {len(y_S)} and {len(logs)}.")

        def loss(log_t: float) -> float:
            return -float(log_softmax(logs / np.exp(log_t), axis=1)[np.arange(len(y_S)), y_S].mean())

        self.temperature_ = float(np.exp(minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded").x))
        return self

    def predict(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the recalibrated probabilities."""
        tempered = softmax(_logs(q) / self.temperature_, axis=1)
        return tempered[:, 1] if np.ndim(q) == 1 else tempered


class Platt(BaseEstimator):
    """Fit a logistic curve over the logit: sigmoid(a logit q + b); two numbers, so it also mends a bias.

    `fit(q, y)` and `predict(q)` take q of shape (S,). The targets are Platt's, (n+ + 1) / (n+ + 2) for right
    and 1 / (n- + 2) for wrong, so that separable data have a solution. Source: Platt 1999.

    >>> float(Platt().fit([0.9] * 10, [1] * 5 + [0] * 5).predict([0.9])[0].round(2))
    0.5
    """

    def fit(self, q: ArrayLike, y: ArrayLike) -> Self:
        """Find `a_` and `b_`; DataError as in `as_pairs`, or without data."""
        q_S, y_S = _pairs(self, q, y)
        n_right, n_wrong = y_S.sum(), (1 - y_S).sum()
        target_S = np.where(y_S == 1, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
        x = _logit(q_S)[:, None]
        fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
            np.concatenate([x, x]),
            np.repeat([1, 0], len(x)),
            sample_weight=np.concatenate([target_S, 1 - target_S]),
        )
        self.a_, self.b_ = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
        return self

    def predict(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the recalibrated probabilities, shape (S,)."""
        return 1 / (1 + np.exp(-(self.a_ * _logit(np.asarray(q, dtype=float)) + self.b_)))


class Isotonic(BaseEstimator):
    """Fit the best non-decreasing step function; flexible, so it wants hundreds of pairs.

    `fit(q, y)` and `predict(q)` take q of shape (S,); scikit-learn's IsotonicRegression, clipped at the ends.
    Source: Zadrozny and Elkan 2002.

    >>> Isotonic().fit([0.2, 0.8, 0.8], [0, 1, 0]).predict([0.0, 0.8]).tolist()
    [0.0, 0.5]
    """

    def fit(self, q: ArrayLike, y: ArrayLike) -> Self:
        """Find the steps; DataError as in `as_pairs`, or without data."""
        q_S, y_S = _pairs(self, q, y)
        self.curve_ = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(q_S, y_S)
        return self

    def predict(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the recalibrated probabilities, shape (S,)."""
        return self.curve_.predict(np.asarray(q, dtype=float))


RECALIBRATIONS: dict[str, type[Temperature | Platt | Isotonic]] = {
    "temperature": Temperature,
    "platt": Platt,
    "isotonic": Isotonic,
}


def _logit(q: NDArray[np.float64]) -> NDArray[np.float64]:
    return logit(np.clip(q, _EDGE, 1 - _EDGE))


def _logs(q: ArrayLike) -> NDArray[np.float64]:
    probabilities = np.asarray(q, dtype=float)
    if probabilities.ndim == 1:
        probabilities = np.clip(probabilities, _EDGE, 1 - _EDGE)
        probabilities = np.stack([1 - probabilities, probabilities], axis=1)
    return np.log(np.clip(probabilities, 1e-12, 1))


def _pairs(estimator: BaseEstimator, q: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not np.size(q):
        raise DataError(f"{type(estimator).__name__} needs validation pairs of confidence and verdict, found none.")
    q_S, y_S, _ = as_pairs(q, y)
    return q_S, y_S
