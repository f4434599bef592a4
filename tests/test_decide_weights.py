"""Post-hoc weights: logit shifts, their inverse, the loss they minimise, and the paper notes' rho table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax

from rlvr.core.errors import DataError
from rlvr.decide import choose_by_matrix, learning_incentive, unweigh, weigh

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=2, max_size=5)


def test_two_classes_shift_the_logit():
    q, w0, w1 = np.linspace(0.01, 0.99, 50), 0.5, 7.0
    np.testing.assert_allclose(weigh(q, [w0, w1]), expit(logit(q) + np.log(w1 / w0)))


@settings(max_examples=50, deadline=None)
@given(weights=WEIGHTS, seed=st.integers(0, 99))
def test_many_classes_shift_the_logits_and_back(weights, seed):
    logits = np.random.default_rng(seed).normal(0, 2, (7, len(weights)))
    q = softmax(logits, axis=1)
    p = weigh(q, weights)
    np.testing.assert_allclose(p, softmax(logits + np.log(weights), axis=1), atol=1e-12)
    np.testing.assert_allclose(unweigh(p, weights), q, atol=1e-9)
    np.testing.assert_allclose(weigh(q, np.multiply(weights, 3.0)), p, atol=1e-12)  # a common scale says nothing


@pytest.mark.parametrize("q", [0.03, 0.4, 0.9])
@pytest.mark.parametrize("ratio", [2, 10, 50])
def test_it_minimises_the_weighted_loss(q, ratio):
    best = minimize_scalar(
        lambda p: -(ratio * q * np.log(p) + (1 - q) * np.log(1 - p)), bounds=(1e-6, 1 - 1e-6), method="bounded",
        options={"xatol": 1e-9},
    ).x  # fmt: skip
    assert weigh([q], [1, ratio])[0] == pytest.approx(best, abs=1e-5)


def test_acting_on_the_weighted_prediction_is_acting_on_the_cost_matrix():
    q = np.random.default_rng(0).dirichlet([1, 1, 1], 200)
    w = np.array([1.0, 5.0, 2.0])
    utility = -(np.ones((3, 3)) - np.eye(3)) * w  # reporting anything but y costs w_y
    np.testing.assert_array_equal(weigh(q, w).argmax(1), choose_by_matrix(q, utility))


# papers.md, section 1: w1/w0 -> rho at q = .05, .2, .5, .8, .95, weights scaled to w0 + w1 = 2
RHO = {2: [1.27, 1.11, 0.889, 0.741, 0.684], 10: [1.25, 0.649, 0.331, 0.222, 0.190], 50: [0.568, 0.182, 0.077, 0.049, 0.041]}  # fmt: skip


@pytest.mark.parametrize("ratio", RHO)
def test_the_rho_table(ratio):
    found = learning_incentive([0.05, 0.2, 0.5, 0.8, 0.95], [1, ratio])
    np.testing.assert_allclose(found, RHO[ratio], atol=0.006)


@pytest.mark.parametrize("ratio", [2, 10])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_rho_is_the_ratio_of_the_curvatures(ratio, q):
    w0, w1 = 2 / (1 + ratio), 2 * ratio / (1 + ratio)

    def least(q, w0, w1):  # G(q) = min_p of the weighted loss
        p = w1 * q / (w1 * q + w0 * (1 - q))
        return -(w1 * q * np.log(p) + w0 * (1 - q) * np.log(1 - p))

    def curvature(*w, h=1e-3):
        return (least(q + h, *w) - 2 * least(q, *w) + least(q - h, *w)) / h**2

    assert learning_incentive([q], [1, ratio])[0] == pytest.approx(curvature(w0, w1) / curvature(1, 1), rel=1e-3)


@pytest.mark.parametrize("pi", [0.01, 0.1, 0.5])
def test_inverse_frequency_weights_pay_at_least_as_much_at_the_prevalence(pi):
    # w1 = 1/(2 pi) and w0 = 1/(2 (1 - pi)) have mean 1 over the data: the product is 1/(4 pi (1 - pi)), the
    # denominator w1 pi + w0 (1 - pi) = 1/2 + 1/2 = 1, so rho(pi) = 1/(4 pi (1 - pi)) >= 1 at that scale.
    w0, w1 = 1 / (2 * (1 - pi)), 1 / (2 * pi)
    rescaled = (w0 + w1) / 2  # learning_incentive takes w0 + w1 = 2, and rho is proportional to the scale
    assert learning_incentive([pi], [w0, w1])[0] * rescaled == pytest.approx(1 / (4 * pi * (1 - pi)))


@pytest.mark.parametrize(
    ("q", "weights", "message"),
    [
        ([1.2], [1, 1], "Probabilities"),
        ([float("nan")], [1, 1], "Probabilities"),
        ([[0.5, 0.6]], [1, 1], "add up to 1"),
        ([0.5], [1, 0], "positive weights"),
        ([0.5], [1, 2, 3], "Expected 2 positive weights"),
        ([[0.2, 0.3, 0.5]], [1, 2], "Expected 3 positive weights"),
    ],
)
def test_bad_input(q, weights, message):
    with pytest.raises(DataError, match=message):
        weigh(q, weights)


@settings(max_examples=30, deadline=None)
@given(weights=WEIGHTS, seed=st.integers(0, 99))
def test_the_incentive_of_many_classes_is_a_ratio_of_curvatures(weights, seed):
    """Second differences of min_p E_q[loss] along K - 1 directions that are orthonormal under sum d^2 / q."""
    w = np.array(weights) / np.mean(weights)
    q = 0.05 + 0.9 * np.random.default_rng(seed).dirichlet(np.full(len(w), 3.0))
    q /= q.sum()

    def least(belief: np.ndarray, w: np.ndarray) -> float:
        return float(-(belief * w * np.log(weigh(belief[None], w)[0])).sum())

    tangent = np.linalg.svd(np.sqrt(q)[None])[2][1:]  # orthonormal, orthogonal to sqrt(q): then sum_k d_k = 0

    def curvature(w: np.ndarray) -> float:
        steps = 1e-3 * tangent * np.sqrt(q)
        return sum(least(q + d, w) + least(q - d, w) - 2 * least(q, w) for d in steps)

    assert learning_incentive(q[None], weights)[0] == pytest.approx(curvature(w) / curvature(np.ones_like(w)), rel=1e-3)


def test_the_incentive_is_what_weights_do_to_a_gradient():
    """Two classes: at the prediction weigh(q), the slope of the weighted loss in the logit is rho(q) (q - y)."""
    q, w = np.linspace(0.05, 0.95, 10), np.array([0.2, 1.8])
    p = weigh(q, w)
    np.testing.assert_allclose(w[1] * (p - 1), learning_incentive(q, w) * (q - 1))  # y = 1
    np.testing.assert_allclose(w[0] * p, learning_incentive(q, w) * q)  # y = 0
