import numpy as np
import pytest
import scipy.stats

from rlvr.core.errors import DataError
from rlvr.measure.metrics import Interval, auroc, bootstrap, bootstrap_counts, bootstrap_mean, paired_difference
from rlvr.measure.metrics.exact import exact_bounds, never_certain


def test_the_mean_agrees_with_scipy():
    values = np.random.default_rng(1).beta(0.5, 0.8, size=80)
    ours = bootstrap_mean(values, n_resamples=8000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=8000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)  # resampling noise


def test_the_two_paths_draw_the_same_resamples():
    values = np.random.default_rng(3).normal(size=30)
    slow = bootstrap(np.mean, values, n_resamples=300, seed=5)
    fast = bootstrap_mean(values, n_resamples=300, seed=5)
    assert (slow.value, slow.low, slow.high) == pytest.approx((fast.value, fast.low, fast.high))


def test_a_pooled_statistic_of_ragged_problems_agrees_on_both_paths():
    rng = np.random.default_rng(4)
    problem_S = np.repeat(np.arange(12), rng.integers(1, 6, size=12))
    q, y = rng.random(problem_S.size).round(1), rng.integers(0, 2, problem_S.size)

    def pooled(index_P):
        rows = np.concatenate([np.flatnonzero(problem_S == p) for p in index_P])
        return auroc(q[rows], y[rows])

    slow = bootstrap(pooled, np.arange(12), n_resamples=200)
    fast = bootstrap_counts(lambda w: {"auroc": auroc(q, y, w[:, problem_S])}, 12, n_resamples=200)["auroc"]
    assert (slow.value, slow.low, slow.high, slow.bias) == pytest.approx((fast.value, fast.low, fast.high, fast.bias))


def test_chunks_change_nothing():
    values = np.random.default_rng(6).normal(size=20)

    def mean(counts):
        return {"mean": counts @ values / 20}

    assert bootstrap_counts(mean, 20, chunk=7) == bootstrap_counts(mean, 20, chunk=2000)


def test_basic_intervals_mirror_percentile_ones():
    values = np.random.default_rng(7).exponential(size=25)
    values -= values.mean()

    def squares(counts):
        return dict.fromkeys(("percentile", "basic"), (counts @ values / 25) ** 2)

    found = bootstrap_counts(squares, 25, basic=["basic"])
    percentile, basic = found["percentile"], found["basic"]
    assert basic.low == pytest.approx(2 * percentile.value - percentile.high)
    assert basic.high == pytest.approx(2 * percentile.value - percentile.low)
    # the mean is 0, so E[mean*^2] is the variance of the resampled mean, var / P
    assert basic.bias == pytest.approx(values.var() / 25, rel=0.1)


def test_coverage_of_a_mean_over_clusters():
    """Problems with their own pass rate, 8 samples each: the interval must cover the overall rate 0.4."""
    rng = np.random.default_rng(8)
    rates = rng.beta(0.8, 1.2, size=(400, 60))  # mean 0.4
    means = rng.binomial(8, rates) / 8
    cover = [i.low <= 0.4 <= i.high for i in (bootstrap_mean(row, n_resamples=400) for row in means)]
    assert 0.91 <= np.mean(cover) <= 0.98
    # Intervals that take the 480 samples as independent are too short: that is why problems are resampled.
    se = np.sqrt(means.mean(1) * (1 - means.mean(1)) / 480)
    naive = np.abs(means.mean(1) - 0.4) <= 1.96 * se
    assert naive.mean() < 0.85


def test_a_paired_difference_is_narrower_than_its_arms():
    rng = np.random.default_rng(9)
    before = rng.random(100)
    after = before + 0.05 + rng.normal(0, 0.01, 100)
    difference, arm = paired_difference(before, after), bootstrap_mean(after)
    assert difference.excludes_zero
    assert difference.high - difference.low < 0.1 * (arm.high - arm.low)


def test_nan_is_left_out_and_counted():
    assert paired_difference([0.0, np.nan, 0.5], [1.0, 1.0, np.nan]) == Interval(1.0, 1.0, 1.0, n=1)
    empty = bootstrap_mean([np.nan])
    assert (empty.n, str(empty), empty.excludes_zero) == (0, "n/a", False)


def test_bad_arguments_are_refused():
    with pytest.raises(DataError, match="one value per problem"):
        paired_difference([0.0], [0.0, 1.0])
    with pytest.raises(DataError, match="same problems"):
        bootstrap(np.mean, [0.0], [0.0, 1.0])
    with pytest.raises(DataError, match="0 < level < 1"):
        bootstrap_mean([0.0], level=95)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.412, 0.36, 0.4612, 9), "0.412 [0.36, 0.46]"),
        (Interval(0.0212, 0.0111, 0.0319, 9), "0.021 [0.011, 0.032]"),
        (Interval(-0.0001, -0.0002, 0.3, 9), "0.000 [0.00, 0.30]"),
        (Interval(float("nan"), float("nan"), float("nan"), 0), "n/a"),
    ],
)
def test_how_an_interval_reads(interval, text):
    assert str(interval) == text


def test_a_bound_that_is_zero_but_for_rounding_shows_no_change():
    """As a report said: "pass@1 fell ... [-0.078, 0.000]", whose upper end was -2.3e-18."""
    assert not Interval(-0.031, -0.078, -2.3e-18, n=64).excludes_zero
    assert not Interval(0.031, 2.3e-18, 0.078, n=64).excludes_zero
    assert Interval(-0.031, -0.078, -1e-6, n=64).excludes_zero
    assert Interval(3e-15, 1e-15, 5e-15, n=64).excludes_zero  # relative to its own size: a small metric may change
    assert not Interval(float("nan"), float("nan"), float("nan"), n=0).excludes_zero


def test_differences_that_are_all_rounding_are_none():
    """The same rates summed in another order: 0.1 + 0.2 against 0.3 in every problem."""
    found = paired_difference([0.3] * 20, [0.1 + 0.2] * 20)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert paired_difference([0.3] * 20, [0.3 + 1e-9] * 20).excludes_zero


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 32), (32, 32), (1319, 1319)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_exact_bounds_at_zero_and_one_are_those_of_clopper_and_pearson(right, n, level):
    theirs = scipy.stats.binomtest(right, n).proportion_ci(level, method="exact")
    assert exact_bounds(right / n, n, level=level) == pytest.approx((theirs.low, theirs.high))


def test_exact_bounds_hold_for_values_between():
    """Nine in ten problems give 0.5, the others 1: samples that saw only 0.5 are rare where their bounds miss 0.55."""
    for n in (5, 20, 28, 29, 40):
        low, high = exact_bounds(0.5, n)
        seen_only_half = 0.9**n
        assert low <= 0.5 <= high
        assert high >= 0.55 or seen_only_half <= 0.05
    low, high = exact_bounds(0.0, 40, within=(-1.0, 1.0))
    assert -low == high == pytest.approx(1 - 0.025 ** (1 / 40))
    with pytest.raises(DataError, match="n >= 1"):
        exact_bounds(1.0, 0)


def test_only_an_interval_without_width_is_replaced():
    wide = bootstrap_mean([0.0, 1.0, 1.0])
    assert never_certain(wide) == wide
    assert never_certain(bootstrap_mean([1.0] * 8)).low == pytest.approx(0.025 ** (1 / 8))
    empty = never_certain(bootstrap_mean([]))
    assert empty.n == 0
    assert np.isnan(empty.value)
