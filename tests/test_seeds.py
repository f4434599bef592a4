"""Statistics over seeds against SciPy, closed forms and brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rlvr.core.errors import DataError
from rlvr.measure.metrics import Records, auroc, ece
from rlvr.measure.metrics.seeds import (
    holm,
    interquartile_mean,
    seed_calibration,
    seed_calibration_tests,
    seed_difference,
)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=20).filter(lambda v: len(v) % 4 == 0))
def test_the_interquartile_mean_is_the_mean_of_the_middle_half(values):
    quarter = len(values) // 4
    assert interquartile_mean(values) == pytest.approx(np.mean(sorted(values)[quarter:-quarter]))


def test_with_one_seed_it_is_the_bootstrap_over_problems():
    """One seed leaves only the problems to resample: SciPy's paired bootstrap of the mean."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((1, 80)), rng.random((1, 80)) - 0.1
    gap, _ = seed_difference(ours, theirs, n_resamples=20_000)
    scipy = stats.bootstrap(((ours - theirs)[0],), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert gap.value == pytest.approx((ours - theirs).mean())
    assert (gap.low, gap.high) == pytest.approx(tuple(scipy.confidence_interval), abs=0.005)


def test_crossed_resampling_by_enumeration():
    """S = P = 2: the mean over the 4 x 4 equally likely resamples of seeds and problems, and their spread."""
    gap_SP = np.array([[0.0, 1.0], [2.0, 5.0]])
    both = list(itertools.product((0, 1), repeat=2))
    every = [gap_SP[np.ix_(s, p)].mean() for s in both for p in both]
    gap, _ = seed_difference(gap_SP, np.zeros((2, 2)), n_resamples=40_000, level=0.9999)
    assert (gap.low, gap.high) == (min(every), max(every)) == (0.0, 5.0)
    assert gap.value == np.mean(every) == 2.0


def test_the_interval_is_wider_than_over_problems_alone_when_seeds_differ():
    shift_S = np.array([0.2, -0.2, 0.1, -0.1, 0.0])
    ours = np.tile(shift_S[:, None], (1, 200))
    gap, p = seed_difference(ours, np.zeros_like(ours))
    assert gap.high - gap.low > 0.15  # every problem agrees; the seeds do not
    assert p > 0.5


def test_coverage_of_a_known_effect():
    """200 data sets with seed and problem effects, true difference 0.1: a 95% interval covers in 88 to 99 of 100."""
    rng = np.random.default_rng(3)
    hits = 0
    for i in range(200):
        gap_SP = 0.1 + rng.normal(0, 0.05, (8, 1)) + rng.normal(0, 0.2, (1, 60)) + rng.normal(0, 0.2, (8, 60))
        gap, _ = seed_difference(gap_SP, np.zeros_like(gap_SP), n_resamples=300, seed=i)
        hits += gap.low <= 0.1 <= gap.high
    assert 0.88 <= hits / 200 <= 0.99


def test_missing_values_are_left_out_and_shapes_must_agree():
    gap, _ = seed_difference([[1.0, np.nan]], [[0.0, 0.0]])
    assert gap.value == 1.0
    with pytest.raises(DataError, match="same seeds and problems"):
        seed_difference([[1.0, 2.0]], [[1.0]])


def test_a_difference_that_is_all_rounding_has_no_p_value_below_one():
    """0.1 + 0.2 against 0.3 on every problem of every seed: p was 0.001."""
    gap, p = seed_difference(np.full((3, 20), 0.1 + 0.2), np.full((3, 20), 0.3))
    assert (gap.value, gap.low, gap.high, p) == (0.0, 0.0, 0.0, 1.0)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.04: x 3 = 0.03, x 2 = 0.04, x 1 = 0.04
    assert holm({"b": 0.02, "a": 0.01, "c": 0.04}) == {"b": 0.04, "a": 0.03, "c": 0.04}
    assert holm({}) == {}


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_plain_and_bonferroni(values):
    named = {str(i): p for i, p in enumerate(values)}
    found = holm(named)
    assert min(found.values()) == pytest.approx(min(1.0, len(values) * min(values)), abs=1e-9)
    for name, adjusted in found.items():
        assert named[name] - 1e-9 <= adjusted <= 1.0


def some_records(rng, n_problems=40, n=6, shift=0.0):
    """Return (S,) records of one seed: confidences in tenths, right with that chance, plus `shift` over-confidence."""
    problems = []
    for _ in range(n_problems):
        chances = rng.integers(1, 10, n) / 10
        samples = [
            {"confidence": float(min(1.0, q + shift)), "correct": bool(rng.random() < q), "answer": "1", "tokens": 1,
             "logp": -1.0, "format_ok": True, "truncated": False}
            for q in chances
        ]  # fmt: skip
        problems.append({"task": "t", "samples": samples})
    return Records.of({"problems": problems})


def test_calibration_over_seeds_is_the_crossed_bootstrap_where_a_metric_is_a_mean():
    """With as many pairs in every problem the Brier score is a mean over problems: `seed_difference` must agree."""
    rng = np.random.default_rng(5)
    sides = [[some_records(rng, shift=s) for _ in range(4)] for s in (0.0, 0.3)]
    found = seed_calibration(*sides, seed=3)

    def brier_P(r):
        return np.bincount(r.problem_S, weights=(r.confidence_S - r.correct_S) ** 2) / 6

    gap, p = seed_difference(*(np.stack([brier_P(r) for r in side]) for side in sides), seed=3)
    assert found["brier"].value == pytest.approx(gap.value)
    assert (found["brier"].low, found["brier"].high) == pytest.approx((gap.low, gap.high))
    tests = seed_calibration_tests(*sides, seed=3)
    assert tests["brier"] == (found["brier"], p)
    eces = [np.mean([ece(*r.pairs()[:2]) for r in side]) for side in sides]
    assert found["ece"].value == pytest.approx(eces[0] - eces[1])
    assert found["ece"].high < 0  # the shifted side is worse, and 40 problems x 4 seeds show it


def test_calibration_over_seeds_without_another_side_and_its_refusals():
    rng = np.random.default_rng(6)
    ours = [some_records(rng) for _ in range(3)]
    found = seed_calibration(ours)["auroc"]
    assert found.value == pytest.approx(np.mean([auroc(*r.pairs()[:2]) for r in ours]))
    assert found.low < found.value < found.high
    with pytest.raises(DataError, match="same seeds"):
        seed_calibration(ours, ours[:2])
    with pytest.raises(DataError, match="same problems"):
        seed_calibration(ours, [some_records(rng, n_problems=39) for _ in range(3)])


def test_calibration_over_seeds_without_confidences_is_not_known():
    problem = {"task": "t", "samples": [{"confidence": None, "correct": True, "answer": "1", "tokens": 1, "logp": -1.0,
                                         "format_ok": True, "truncated": False}]}  # fmt: skip
    silent = [Records.of({"problems": [problem, problem]})]
    assert np.isnan(seed_calibration(silent, silent)["ece"].value)
