"""ECE, Brier, AUROC, NLL, risk-coverage, the constant baseline: each against an independent computation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from rlvr.core.errors import DataError
from rlvr.measure.metrics import (
    aurc,
    auroc,
    brier,
    brier_decomposition,
    constant_baseline_brier,
    constant_baseline_brier_in_sample,
    ece,
    nll,
    reliability_table,
    risk_coverage,
)

METRICS = {
    "ece": ece,
    "ece_mass": lambda q, y, weights=None: ece(q, y, mode="mass", weights=weights),
    "brier": brier,
    "auroc": auroc,
    "nll": nll,
    "aurc": aurc,
    **{
        part: lambda q, y, weights=None, part=part, bins=bins: getattr(brier_decomposition(q, y, bins, weights), part)
        for part, bins in (("reliability", None), ("resolution", 10), ("uncertainty", 10))
    },
}
PAIRS = st.lists(st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.booleans()), min_size=1, max_size=40)


def draw(n, seed=0, decimals=2):
    rng = np.random.default_rng(seed)
    q = rng.beta(0.7, 0.7, size=n).round(decimals)
    return q, (rng.random(n) < 0.2 + 0.5 * q).astype(int)


def score_bounds(rate, n):
    """The true rates at which the observed one is 1.96 standard errors away: what Wilson's formula solves."""

    def distance(p):
        return abs(rate - p) - 1.959963984540054 * np.sqrt(p * (1 - p) / n)

    low = 0.0 if rate == 0 else brentq(distance, 1e-12, rate - 1e-12)
    high = 1.0 if rate == 1 else brentq(distance, rate + 1e-12, 1 - 1e-12)
    return low, high


# What holds for every metric


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=30, deadline=None)
@given(pairs=PAIRS, seed=st.integers(0, 99))
def test_order_never_matters(name, pairs, seed):
    q, y = np.array(pairs).T
    shuffled = np.random.default_rng(seed).permutation(len(pairs))
    assert METRICS[name](q[shuffled], y[shuffled]) == pytest.approx(METRICS[name](q, y), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", [n for n in METRICS if n != "ece_mass"])
def test_a_weight_of_two_is_a_sample_twice_and_of_zero_none(name):
    q, y = draw(30)
    weights = np.random.default_rng(1).integers(0, 4, size=(3, 30))
    repeated = [METRICS[name](np.repeat(q, w), np.repeat(y, w)) for w in weights]
    np.testing.assert_allclose(METRICS[name](q, y, weights=weights), repeated, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_without_pairs_there_is_no_number(name):
    assert np.isnan(METRICS[name]([], []))
    assert np.isnan(METRICS[name]([], [], weights=np.ones((3, 0)))).all()


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("q", "y", "message"),
    [
        ([1.2], [1], "in \\[0, 1\\]"),
        ([np.nan], [1], "in \\[0, 1\\]"),
        ([0.5], [np.nan], "0 or 1"),
        ([0.5, 0.5], [1], "one length"),
    ],
)
def test_bad_pairs_are_refused(name, q, y, message):
    with pytest.raises(DataError, match=message):
        METRICS[name](q, y)


# ECE


@pytest.mark.parametrize("seed", range(5))
def test_ece_agrees_with_sklearns_calibration_curve(seed):
    q, y = draw(300, seed, decimals=6)
    for mode, strategy in (("width", "uniform"), ("mass", "quantile")):
        accuracy, confidence = calibration_curve(y, q, n_bins=10, strategy=strategy)
        table = reliability_table(q, y, mode=mode)
        np.testing.assert_allclose(table.accuracy, accuracy)
        np.testing.assert_allclose(table.confidence, confidence)
        assert ece(q, y, mode=mode) == pytest.approx(np.average(abs(accuracy - confidence), weights=table.n))


def test_ece_by_hand():
    # bins [.0,.1): |0 - 0| x 1; [.5,.6): |.5 - 1/3| x 3; [.9,1]: mean q (.9 + 1 + 1)/3, all wrong: .9667 x 3
    q, y = [0.0, 0.5, 0.5, 0.5, 0.9, 1.0, 1.0], [0, 1, 0, 0, 0, 0, 0]
    assert ece(q, y) == pytest.approx((0 + 0.5 + 2.9) / 7)


def test_zero_and_one_fall_into_bins_and_stated_tenths_into_their_own():
    q = np.arange(11) / 10
    assert reliability_table(q, np.ones(11)).n.tolist() == [1] * 9 + [2]
    assert ece([0.0], [1]) == ece([1.0], [0]) == 1.0


def test_bins_of_equal_mass_keep_ties_together():
    q = np.array([0.2] * 15 + [1.0] * 5)
    table = reliability_table(q, np.zeros(20), bins=4, mode="mass")
    assert [n for n in table.n if n] == [15, 5]


def test_a_constant_equal_to_the_accuracy_has_no_ece():
    assert ece([0.25] * 4, [1, 0, 0, 0]) == 0.0


def test_the_interval_of_a_bin_is_wilsons_when_samples_are_independent():
    q, y = np.full(40, 0.75), np.repeat([1, 0], [28, 12])
    table = reliability_table(q, y, bins=1)
    # variance between 40 problems of one sample is p(1-p)/39, so the effective size is 39
    expected = score_bounds(0.7, 39)
    assert (table.low[0], table.high[0]) == pytest.approx(expected)


def test_the_interval_of_a_bin_sees_problems_not_samples():
    y = np.repeat([1, 0, 1, 1, 0], 100)
    by_problem = reliability_table(np.full(500, 0.5), y, np.repeat(np.arange(5), 100), bins=1)
    expected = score_bounds(0.6, 4)  # 5 problems, each all right or all wrong: variance p(1-p)/4
    assert (by_problem.low[0], by_problem.high[0]) == pytest.approx(expected)
    sure = reliability_table(np.full(500, 0.5), np.ones(500), np.repeat(np.arange(5), 100), bins=1)
    assert (sure.low[0], sure.high[0]) == pytest.approx(score_bounds(1.0, 5))
    one = reliability_table(np.full(7, 0.5), [1, 1, 0, 0, 0, 0, 0], np.zeros(7), bins=1)
    assert (one.low[0], one.high[0]) == pytest.approx(score_bounds(2 / 7, 1))


def test_an_empty_table_has_empty_bins():
    table = reliability_table([], [])
    assert table.n.tolist() == [0] * 10
    assert np.isnan(table.accuracy).all()


# Brier, AUROC, NLL


@pytest.mark.parametrize("seed", range(5))
def test_brier_auroc_and_nll_agree_with_sklearn(seed):
    q, y = draw(200, seed, decimals=1)
    assert brier(q, y) == pytest.approx(brier_score_loss(y, q))
    assert auroc(q, y) == pytest.approx(roc_auc_score(y, q))
    assert nll(q, y) == pytest.approx(log_loss(y, np.clip(q, 1e-3, 1 - 1e-3)))


def test_auroc_needs_both_classes():
    assert np.isnan(auroc([0.1, 0.9], [1, 1]))
    assert auroc([0.4] * 5, [1, 0, 0, 1, 1]) == 0.5


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS, bins=st.sampled_from([None, 1, 3, 10]))
def test_the_brier_parts_add_up(pairs, bins):
    q, y = np.array(pairs).T
    parts = brier_decomposition(q, y, bins)
    total = parts.reliability - parts.resolution + parts.uncertainty
    assert total == pytest.approx(np.mean((q - y) ** 2), abs=1e-12)


def test_the_brier_parts_by_hand():
    # .8: 2 of 3 right; .2: 0 of 1. reliability (3 (.8 - 2/3)^2 + (.2 - 0)^2)/4, base 1/2,
    # resolution (3 (2/3 - 1/2)^2 + (0 - 1/2)^2)/4, uncertainty 1/4
    parts = brier_decomposition([0.8, 0.8, 0.8, 0.2], [1, 1, 0, 0])
    assert parts.reliability == pytest.approx((3 * (0.8 - 2 / 3) ** 2 + 0.2**2) / 4)
    assert parts.resolution == pytest.approx((3 * (1 / 6) ** 2 + 1 / 4) / 4)
    assert parts.uncertainty == pytest.approx(0.25)


# Risk and coverage


@pytest.mark.parametrize(
    ("q", "y"),
    [
        ([0.5] * 6, [1, 0, 0, 1, 1, 0]),
        ([0.9, 0.5, 0.5, 0.5, 0.1, 0.1], [0, 1, 0, 0, 1, 0]),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 1, 0, 1, 1, 1]),
    ],
)
def test_ties_are_the_mean_over_all_orders(q, y):
    orders = [o for o in itertools.permutations(range(6)) if all(q[a] >= q[b] for a, b in itertools.pairwise(o))]
    risks = [[np.mean([1 - y[j] for j in order[: i + 1]]) for i in range(6)] for order in orders]
    coverage, risk = risk_coverage(q, y)
    np.testing.assert_allclose(coverage, np.arange(1, 7) / 6)
    np.testing.assert_allclose(risk, np.mean(risks, axis=0))
    assert aurc(q, y) == pytest.approx(np.mean(risks))


@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS)
def test_aurc_is_the_mean_of_the_curve(pairs):
    q, y = np.array(pairs).T
    coverage, risk = risk_coverage(q, y)
    assert aurc(q, y) == pytest.approx(risk.mean(), abs=1e-12)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(1 - y.mean())


def test_an_empty_curve():
    assert [x.size for x in risk_coverage([], [])] == [0, 0]


# The constant baseline


def test_the_constant_is_chosen_on_the_other_problems():
    n, c = np.array([3, 0, 2, 5]), np.array([1, 0, 2, 1])
    samples = [(p, i < c[p]) for p in range(4) for i in range(n[p])]
    losses = []
    for p, y in samples:
        others = [right for r, right in samples if r != p]
        losses.append((np.mean(others) - y) ** 2)
    assert constant_baseline_brier(n, c) == pytest.approx(np.mean(losses))


def test_copies_of_a_problem_are_left_out_together():
    n, c = np.array([3, 2, 5]), np.array([1, 2, 1])
    counts = np.array([[2, 1, 0], [0, 1, 2], [3, 0, 0]])
    first, second, third = constant_baseline_brier(n, c, counts)
    assert first == pytest.approx(constant_baseline_brier([6, 2], [2, 2]))
    assert second == pytest.approx(constant_baseline_brier([2, 10], [2, 2]))
    assert np.isnan(third)


def test_the_honest_baseline_approaches_the_in_sample_one_from_above():
    c = np.random.default_rng(0).integers(0, 9, size=500)
    honest, fitted = (
        constant_baseline_brier(np.full(500, 8), c),
        constant_baseline_brier_in_sample(c.mean() / 8),
    )
    assert fitted < honest < fitted + 1e-3
    assert fitted == pytest.approx(brier(np.full(4000, c.mean() / 8), np.repeat([1, 0], [c.sum(), 4000 - c.sum()])))
