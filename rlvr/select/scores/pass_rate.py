"""Pass rate: how often the policy itself fails a problem, as a posterior."""

from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator

from rlvr.core.old_names import old_keywords
from rlvr.runs.pass_rate import JEFFREYS, PassRate


class PassRateScore(BaseEstimator):
    """Score a problem by one minus the posterior mean of the pass rate under the policy.

    score_i = 1 - (s + a) / (n + a + b) with s successes in n attempts and the prior Beta(a, b), in (0, 1); a problem
    that was never tried has the prior's mean.

    Args:
        pass_rates: attempts and successes per problem id.
        prior: (a, b); Jeffreys' unless given.

    After `fit`: `scores_` (R,), `intervals_` (R, 2): the score's central 95% posterior interval; `attempts_` (R,).

    >>> PassRateScore(PassRate({"a": (8, 7)}), prior=(1, 1)).fit(["a", "b"]).scores_
    array([0.2, 0.5])
    """

    @old_keywords(record="pass_rates")
    def __init__(self, pass_rates: PassRate, prior: tuple[float, float] = JEFFREYS):
        self.pass_rates = pass_rates
        self.prior = prior

    def fit(self, X: Sequence[str], y: None = None) -> "PassRateScore":
        """Look the problem ids X up; `y` is not looked at."""
        self.scores_ = np.array([1 - self.pass_rates.posterior_mean(i, self.prior) for i in X])
        rates = [self.pass_rates.interval(i, prior=self.prior) for i in X]
        self.intervals_ = np.array([(1 - high, 1 - low) for low, high in rates]).reshape(-1, 2)
        self.attempts_ = self.pass_rates.lookup(X)[0].numpy()
        return self
