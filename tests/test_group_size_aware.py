"""MaxRL, pass@k and PKPO against brute force: every subset of the group enumerated."""

import math
import random
from fractions import Fraction
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts
from rlvr.core.errors import SpecError

few = settings(max_examples=60, deadline=None)


def subsets_pass_at_k(right: list[bool], k: int) -> list[float]:
    """Mean over the k-subsets that hold i of the standardised subset reward."""
    subsets = list(combinations(range(len(right)), k))
    reward = {s: float(any(right[i] for i in s)) for s in subsets}
    mean = sum(reward.values()) / len(subsets)
    std = math.sqrt(sum((r - mean) ** 2 for r in reward.values()) / len(subsets))
    if std < 1e-12:
        return [0.0] * len(right)
    mine = [[(reward[s] - mean) / std for s in subsets if i in s] for i in range(len(right))]
    return [sum(m) / len(m) for m in mine]


def subsets_pkpo(reward: list[float], k: int) -> list[float]:
    """The definition: what i raises the maximum by, over all k-subsets that hold it."""
    total = [0.0] * len(reward)
    for s in combinations(range(len(reward)), k):
        for i in s:
            total[i] += max(reward[j] for j in s) - max(reward[j] for j in s if j != i)
    return [t / math.comb(len(reward), k) for t in total]


@few
@given(st.lists(st.booleans(), min_size=2, max_size=9), st.integers(1, 9))
def test_pass_at_k_is_the_mean_over_all_subsets(right, k):
    adv = build(f"pass_at_k(k={k})")(Rollouts.of([[float(r) for r in right]])).adv[0].tolist()
    expected = subsets_pass_at_k(right, k) if k <= len(right) else [0.0] * len(right)
    assert adv == pytest.approx(expected, abs=1e-5)


@few
@given(st.lists(st.integers(0, 4), min_size=2, max_size=9), st.integers(2, 9))
def test_pkpo_is_the_sum_over_all_subsets_ties_included(reward, k):
    adv = build(f"pkpo(k={k})")(Rollouts.of([[r / 4 for r in reward]])).adv[0].tolist()
    expected = subsets_pkpo([r / 4 for r in reward], k) if k <= len(reward) else [0.0] * len(reward)
    assert adv == pytest.approx(expected, abs=1e-6)


def exact_pkpo(reward: list[int], k: int, mine: int) -> Fraction:
    """By order statistics in whole numbers: k/n (E max of i and k-1 others - E max of these others)."""
    n, others = len(reward), sorted(reward)
    others.remove(mine)
    gains = (math.comb(m, k - 2) * max(0, mine - x) for m, x in enumerate(others))  # others[m] is the largest of k-1
    return Fraction(k * sum(gains), n * math.comb(n - 1, k - 1))


@pytest.mark.parametrize(("n", "k"), [(8, 3), (128, 16), (128, 64), (256, 2), (1200, 600)])
def test_pkpo_is_exact_where_the_number_of_subsets_exceeds_every_float(n, k):
    """C(128, 16) is above 2^63, C(1200, 600) above the largest float64."""
    order = random.Random(n * k)
    reward = [order.choice(range(7)) for _ in range(n)]
    adv = build(f"pkpo(k={k})")(Rollouts.of([[float(r) for r in reward]])).adv[0].tolist()
    exact = {r: float(exact_pkpo(reward, k, r)) for r in set(reward)}
    assert adv == pytest.approx([exact[r] for r in reward], rel=1e-5, abs=1e-9)
    assert max(adv) > 0


@few
@given(
    st.lists(st.booleans(), min_size=3, max_size=8), st.lists(st.booleans(), min_size=3, max_size=8), st.integers(2, 4)
)
def test_dropped_completions_are_no_part_of_any_subset(right, cut, k):
    size = min(len(right), len(cut))
    right, cut = right[:size], cut[:size]
    kept = [i for i in range(size) if not cut[i]]
    rollouts = Rollouts.of([[float(r) for r in right]], truncated_PG=[cut])
    for name, brute in (("pass_at_k", subsets_pass_at_k), ("pkpo", subsets_pkpo)):
        adv = build(f"drop_truncated, {name}(k={k})")(rollouts).adv[0].tolist()
        some = [right[i] for i in kept] if name == "pass_at_k" else [float(right[i]) for i in kept]
        expected = dict(zip(kept, brute(some, k), strict=True)) if len(kept) >= k else {}
        assert adv == pytest.approx([expected.get(i, 0.0) for i in range(size)], abs=1e-5)


def test_pass_at_k_edges_by_hand():
    """n = 4, k = 2: c = 2 leaves one all-wrong pair of six, rho = 5/6, s = sqrt(5)/6; right (1/6)/s = 1/sqrt(5).

    A wrong one has one of three partners wrong: (1/6 - 1/3)/s = -1/sqrt(5). c = 3: n - c < k, every pair holds a right
    one: 0. c = 4 and c = 0: 0.
    """
    rows = [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    adv = build("pass_at_k(k=2)")(Rollouts.of([[float(x) for x in row] for row in rows])).adv
    assert adv[0].tolist() == pytest.approx([5**-0.5, 5**-0.5, -(5**-0.5), -(5**-0.5)])
    assert not adv[1:].any()


def test_pass_at_1_is_the_standardised_reward():
    rollouts = Rollouts.of([[1.0, 1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(
        build("pass_at_k(k=1)")(rollouts).adv, build("grpo(ddof=0, eps=1.0e-9)")(rollouts).adv, atol=1e-5, rtol=1e-5
    )


def test_pass_at_k_reads_correct_not_the_reward():
    rollouts = Rollouts.of([[0.2, 0.9, 0.9, 0.9]], [[True, False, False, False]])
    assert build("pass_at_k(k=2)")(rollouts).adv[0, 0] > 0


@few
@given(st.integers(1, 8), st.integers(0, 8))
def test_maxrl_by_its_closed_form(n, c):
    """c of n right: (1 - c/n) / (c/n) = (n - c) / c for a right one, -1 for a wrong one, 0 if c = 0."""
    c = min(c, n)
    adv = build("maxrl")(Rollouts.of([[1.0] * c + [0.0] * (n - c)])).adv[0].tolist()
    expected = [(n - c) / c] * c + [-1.0] * (n - c) if c else [0.0] * n
    assert adv == pytest.approx(expected, abs=1e-5)


def test_lite_ppo_divides_by_the_spread_of_the_batch():
    """Rewards 1 0 | 1 1: centred .5 -.5 | 0 0; std of (1, 0, 1, 1) with ddof 1 is .5, so 1 -1 | 0 0."""
    adv = build("lite_ppo(eps=1.0e-9)")(Rollouts.of([[1.0, 0.0], [1.0, 1.0]])).adv
    torch.testing.assert_close(adv, torch.tensor([[1.0, -1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("spec", ["pass_at_k(k=0)", "pass_at_k(k=2.5)", "pkpo(k=1)", "pkpo(k='4')"])
def test_wrong_k_is_refused_when_built(spec):
    with pytest.raises(SpecError, match="k must be a whole number"):
        build(spec)
