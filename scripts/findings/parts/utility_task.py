"""The task of utility_after.py: twenty groups of inputs that each hide the class, so that every one costs learning.

    K = 2   group i shows two signs u, v with u v = +1 for class 1 and -1 for class 0           XOR        2 inputs
    K = 8   group i shows two quarter turns a, b with a + b = c_i(class) mod 4, c_i two-to-one  sum mod 4  4 inputs

Group i is shown with a strength that falls geometrically in i, in noise of standard deviation 1. No input by itself
says anything of the class, and each group adds a log likelihood of its own, so the exact posterior is a sum.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

GROUPS = 20
STRENGTH = {
    2: (1.0, 0.85),
    8: (1.5, 0.9),
}  # classes -> strength of the first group, and of each next one relative to it
TURNS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)  # the four quarter turns, on the circle
UP = 1  # the class on which a mistake costs r times as much

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """Name a task: how many classes, how common the costly one is, and the seed of what the groups hide."""

    classes: int
    prevalence: float
    seed: int

    @cached_property
    def prior(self) -> NDArray[np.float64]:
        """Return P(class): `prevalence` for class UP, the rest shared equally."""
        prior = np.full(self.classes, (1 - self.prevalence) / (self.classes - 1))
        prior[UP] = self.prevalence
        return prior

    @cached_property
    def strengths(self) -> Array:
        """Return the strength of each group, (GROUPS, 1)."""
        first, shrink = STRENGTH[self.classes]
        return (first * shrink ** np.arange(GROUPS))[:, None].astype(np.float32)

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Return the value that each group hides for each class, (GROUPS, K): 0 or 1; of eight classes 0 to 3."""
        if self.classes == 2:
            return np.tile([0, 1], (GROUPS, 1))
        rng = np.random.default_rng([self.seed, 8])
        return np.stack([rng.permutation(np.arange(self.classes) % 4) for _ in range(GROUPS)])

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Array, NDArray[np.int64]]:
        """Return inputs (n, 40 or 80) and classes (n,)."""
        y = np.searchsorted(np.cumsum(self.prior)[:-1], rng.random(n), side="right")
        hidden = self.codes.T[y]  # (n, GROUPS)
        if self.classes == 2:
            first = rng.integers(0, 2, hidden.shape, np.int8) * 2 - 1
            shown = np.stack([first, first * (2 * hidden - 1)], -1).astype(np.float32)
        else:
            first = rng.integers(0, 4, hidden.shape, np.int8)
            shown = np.concatenate([TURNS[first], TURNS[(hidden - first) % 4]], -1)
        x = rng.standard_normal(shown.shape, np.float32)
        x += shown * self.strengths
        return x.reshape(n, -1), y

    def posterior(self, x: Array) -> NDArray[np.float64]:
        """Return the exact P(class | x), (n, K): what no network can beat."""
        groups = x.reshape(len(x), GROUPS, -1) * self.strengths
        if self.classes == 2:
            u, v = groups[..., 0], groups[..., 1]
            by_value = np.stack([np.logaddexp(u - v, v - u), np.logaddexp(u + v, -u - v)], -1)
        else:
            likelihoods = (np.exp(turn @ TURNS.T) for turn in (groups[..., :2], groups[..., 2:]))
            a, b = (np.moveaxis(turn, -1, 0) for turn in likelihoods)  # of each quarter turn, (4, n, GROUPS)
            by_value = np.log(np.stack([sum(a[i] * b[(value - i) % 4] for i in range(4)) for value in range(4)], -1))
        evidence = np.sum([by_value[:, i, codes] for i, codes in enumerate(self.codes)], axis=0, dtype=float)
        return np.exp(log_softmax(evidence + np.log(self.prior), axis=1))
