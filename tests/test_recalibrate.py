"""Temperature, Platt and isotonic recalibration, against scikit-learn's own and brute force."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import isotonic_regression
from sklearn.metrics import log_loss

from rlvr.core.errors import DataError
from rlvr.decide.recalibrate import RECALIBRATIONS, Isotonic, Platt, Temperature


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose decision value is its input, for scikit-learn's calibrators."""

    def fit(self, x, y):
        self.classes_ = np.arange(max(2, np.shape(x)[1]))
        return self

    def decision_function(self, x):
        return x[:, 0] if np.shape(x)[1] == 1 else x

    def predict(self, x):
        return self.decision_function(x)  # never called; scikit-learn asks whether it is there


def overconfident(n=400, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.beta(2, 2, n)
    return expit(2.5 * logit(true) + 0.4), (rng.random(n) < true).astype(int)


def theirs(method, x, y, at):
    fitted = CalibratedClassifierCV(FrozenEstimator(Scores().fit(x, y)), method=method).fit(x, y)
    return fitted.predict_proba(at)


def test_platt_agrees_with_sklearn():
    q, y = overconfident()
    x = logit(np.clip(q, 1e-3, 1 - 1e-3))[:, None]
    np.testing.assert_allclose(Platt().fit(q, y).predict(q), theirs("sigmoid", x, y, x)[:, 1], atol=1e-3)


def test_temperature_agrees_with_sklearn_and_a_grid():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (500, 3))
    y = np.array([rng.choice(3, p=p) for p in np.exp(logits / 3) / np.exp(logits / 3).sum(1, keepdims=True)])
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ours = Temperature().fit(q, y)
    np.testing.assert_allclose(ours.predict(q), theirs("temperature", logits, y, logits), atol=2e-3)
    losses = {t: log_loss(y, _softmax(logits / t)) for t in np.geomspace(0.5, 10, 400)}
    assert ours.temperature_ == pytest.approx(min(losses, key=losses.get), rel=0.01)


def _softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def test_temperature_of_two_classes_is_that_of_the_logit():
    q, y = overconfident()
    fitted = Temperature().fit(q, y)
    clipped = np.clip(q, 1e-3, 1 - 1e-3)
    np.testing.assert_allclose(fitted.predict(q), expit(logit(clipped) / fitted.temperature_))
    np.testing.assert_allclose(fitted.predict(q), Temperature().fit(np.stack([1 - clipped, clipped], 1), y).predict(q), atol=1e-4)  # fmt: skip


def test_isotonic_is_the_pooled_adjacent_violators():
    q, y = overconfident(200)
    order = np.argsort(q)
    np.testing.assert_allclose(Isotonic().fit(q, y).predict(q[order]), isotonic_regression(y[order].astype(float)))


@pytest.mark.parametrize("name", RECALIBRATIONS)
def test_each_helps_on_new_data_and_keeps_the_order(name):
    (q, y), (q_new, y_new) = overconfident(2000, 0), overconfident(2000, 1)
    unfitted = RECALIBRATIONS[name]()
    fitted = clone(unfitted).fit(q, y)
    better = fitted.predict(q_new)
    assert ((better >= 0) & (better <= 1)).all()
    assert np.mean((better - y_new) ** 2) < np.mean((q_new - y_new) ** 2) - 0.005
    assert (np.diff(fitted.predict(np.linspace(0, 1, 50))) >= -1e-12).all()
    assert not any(k.endswith("_") for k in vars(unfitted))  # fitting a clone leaves the original alone


@pytest.mark.parametrize("name", RECALIBRATIONS)
def test_odd_data_stay_finite(name):
    for q, y in (([0.1, 0.9], [0, 1]), ([0.0, 1.0, 1.0], [1, 1, 1]), ([0.5] * 4, [0, 1, 0, 1])):
        assert np.isfinite(RECALIBRATIONS[name]().fit(q, y).predict([0.0, 0.3, 1.0])).all()


@pytest.mark.parametrize("name", RECALIBRATIONS)
def test_nothing_to_fit_on(name):
    with pytest.raises(DataError, match="found none|found 0 and 0"):
        RECALIBRATIONS[name]().fit([], [])
