import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core.errors import DataError
from rlvr.measure.metrics import pass_at_k, pass_at_k_curve


@pytest.mark.parametrize("n", range(1, 8))
def test_equals_the_share_of_all_subsets_that_hold_a_right_sample(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations([i < c for i in range(n)], k))
        share = sum(any(subset) for subset in subsets) / len(subsets)
        assert pass_at_k(n, c, k)[0] == pytest.approx(share, abs=1e-14)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_exact_fractions_up_to_ten_thousand_samples(data):
    n = data.draw(st.integers(1, 10_000))
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert pass_at_k(n, c, k)[0] == pytest.approx(float(exact), rel=1e-11, abs=0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int64", "float32", "float64"])
def test_the_dtype_of_the_counts_does_not_matter(dtype):
    """Unsigned ones wrapped round: 5 right of 8 gave -5567.5."""
    n, c = np.array([8, 8, 8, 8]), np.array([0, 1, 5, 8])
    for k in (1, 2, 4, 8):
        expected = [1 - comb(8 - right, k) / comb(8, k) for right in c.tolist()]
        np.testing.assert_allclose(pass_at_k(n.astype(dtype), c.astype(dtype), np.dtype(dtype).type(k)), expected)
        if hasattr(torch, dtype):
            counts = (torch.as_tensor(x).to(getattr(torch, dtype)) for x in (n, c))
            np.testing.assert_allclose(pass_at_k(*counts, k), expected)


def test_pass_at_1_is_the_rate_and_the_curve_rises():
    n, c = np.array([16, 16, 12]), np.array([0, 5, 12])
    np.testing.assert_allclose(pass_at_k(n, c, 1), c / n)
    curve = pass_at_k_curve(n, c, [1, 2, 4, 8, 12])
    assert (np.diff(curve) > 0).all()
    assert curve[-1] == pytest.approx((0 + 1 - comb(11, 12) / comb(16, 12) + 1) / 3)


def test_without_problems_the_mean_is_nan():
    assert np.isnan(pass_at_k_curve([], [], [1, 2])).all()


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        ([4, 8], [1, 1], 5, "needs at least 5 samples per problem; found 4"),
        ([4], [1], 0, "at least 1"),
        ([4], [5], 2, "0 <= c <= n"),
        ([4], [-1], 2, "0 <= c <= n"),
        ([4], [0.5], 2, "whole"),
        ([4], [float("nan")], 2, "whole"),
    ],
)
def test_impossible_counts_are_refused(n, c, k, message):
    with pytest.raises(DataError, match=message):
        pass_at_k(n, c, k)
