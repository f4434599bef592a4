"""Apply utility weights after training: shift honest probabilities to what a weighted loss would have reported."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlvr.core.errors import DataError


def weigh(q: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return p^u, the prediction that minimises the weighted log loss under the belief q.

        p_k = w_k q_k / sum_j w_j q_j          (add log w_k to the logits, then softmax)
        p   = w_1 q / (w_1 q + w_0 (1 - q))    (two classes: logit p = logit q + log(w_1 / w_0))

    Args:
        q: P(y = 1), shape (S,), with weights (w_0, w_1); or class probabilities (S, K) with K weights.
        weights: positive and finite; their common scale does not matter.

    Returns the shape of q, in [0, 1]. Reporting p costs w_y (-log p_y); acting on argmax p is acting on
    `utility.choose` where a mistake on class k costs w_k.

    Raises:
        DataError: q is no probability, or the weights are not K positive numbers.

    Source: "ex post weighting" in 2511.07699; as logit adjustment, 2007.07314.

    >>> weigh([0.5, 0.1], [1, 9]).round(3).tolist()
    [0.9, 0.5]
    >>> weigh([[0.5, 0.25, 0.25]], [1, 2, 1]).tolist()
    [[0.4, 0.4, 0.2]]
    """
    classes, w_K = _check(q, weights)
    weighted = classes * w_K
    shares = weighted / weighted.sum(-1, keepdims=True)
    return shares[:, 1] if np.ndim(q) == 1 else shares


def unweigh(p: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return the belief q that led to prediction p of a model trained with these weights: q_k ∝ p_k / w_k.

    The inverse of `weigh`, with the same shapes and errors. Source: 2205.04613.

    >>> unweigh(weigh([0.2, 0.7], [1, 5]), [1, 5]).round(6).tolist()
    [0.2, 0.7]
    """
    return weigh(p, 1 / _check(p, weights)[1])


def learning_incentive(q: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return rho(q), how much a more informative belief is worth under the weighted loss, relative to log loss.

        rho(q) = w_0 w_1 / (w_1 q + w_0 (1 - q)),                          two classes, w_0 + w_1 = 2
        rho(q) = (sum_k w_k - sum_k w_k^2 q_k / D) / (K - 1),  D = w q     K classes, weights of mean 1

    The ratio of the curvatures of the two losses at their own best predictions; of K classes the ratio of the traces,
    the length of a direction d being sum_k d_k^2 / q_k. Below 1 the weights pay less for learning than the plain loss
    does. With two classes it is also what the weights do to a gradient: where the prediction is `weigh(q)`, the
    weighted loss has the slope rho(q) (q - y) in the logit, the plain one q - y. So the scale of the weights matters to
    plain SGD, and rho grows with it. Shape (S,), above 0. Source: derived from 2511.07699's setting.

    >>> learning_incentive([0.05, 0.5, 0.95], [1, 10]).round(3).tolist()
    [1.254, 0.331, 0.19]
    >>> learning_incentive([[0.95, 0.05]], [1, 10]).round(3).tolist()
    [1.254]
    """
    classes, w = _check(q, weights)
    w = w / w.mean()
    return (w.sum() - classes @ w**2 / (classes @ w)) / (len(w) - 1)


def _check(q: ArrayLike, weights: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return class probabilities (S, K) and weights (K,)."""
    belief, w_K = np.asarray(q, dtype=float), np.asarray(weights, dtype=float)
    classes = np.stack([1 - belief, belief], axis=-1) if belief.ndim == 1 else belief
    if classes.ndim != 2 or not ((classes >= 0) & (classes <= 1)).all() or not np.allclose(classes.sum(-1), 1):
        raise DataError("Probabilities must be P(y = 1) of shape (S,), or (S, K) with rows that add up to 1.")
    if w_K.shape != classes.shape[1:] or not (np.isfinite(w_K) & (w_K > 0)).all():
        raise DataError(f"Expected {classes.shape[1]} positive weights, one per class, found {weights!r}.")
    return classes, w_K
