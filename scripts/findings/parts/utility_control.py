"""The control of utility_after.py: a well-specified logistic regression, which weights must not hurt."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from rlvr.decide import weigh


def control_gap(seed: int, ratio: float) -> float:
    """Return the gap A - B in weighted log loss, as a share of A's: 20,000 rows to fit, as many to test.

    Both fits find the truth, so a gap would be a mistake in how B's predictions are weighted.
    """
    rng = np.random.default_rng([seed, 77])
    x = rng.standard_normal((40_000, 5))
    y = (rng.random(40_000) < 1 / (1 + np.exp(-(x @ np.array([1.0, -1.0, 0.5, 0.5, 0.0]) - 1.2)))).astype(int)
    half, w = 20_000, np.array([2.0, 2.0 * ratio]) / (1 + ratio)
    losses = {}
    for arm, in_loss in (("A", w), ("B", np.ones(2))):
        fit = LogisticRegression(C=np.inf).fit(x[:half], y[:half], sample_weight=in_loss[y[:half]])
        q = fit.predict_proba(x[half:])
        p = q if arm == "A" else weigh(q, w)
        losses[arm] = -(w[y[half:]] * np.log(p[np.arange(half), y[half:]])).mean()
    return float((losses["A"] - losses["B"]) / losses["A"])
