"""Expected utility: by hand, against brute force, per decision, and with a price on one more draw."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core.errors import DataError, SpecError
from rlvr.decide import ACTIONS, Prices, choose, choose_by_matrix
from rlvr.decide.next_draw import NextDraw

NAN = float("nan")


def actions(q, *args):
    return [ACTIONS[i] for i in choose(q, *args)]


def test_thresholds_by_hand():
    assert Prices(wrong=-5).threshold == pytest.approx(5 / 6)  # (0 + 5) / (1 + 5)
    assert Prices().threshold == 0.5
    assert Prices(wrong=-5, escalate=0.4).threshold == pytest.approx(5.4 / 6)
    assert actions([0.83, 0.84], Prices(wrong=-5)) == ["abstain", "answer"]
    assert actions([0.5], Prices()) == ["answer"]  # a tie goes to the earlier action
    assert actions([0.7], Prices(wrong=-3, abstain=-0.2)) == ["answer"]  # a tie up to rounding: .7 - .3 * 3 = -.2


def test_a_missing_probability_is_never_answered():
    assert actions([NAN], Prices(wrong=0.9, abstain=-9)) == ["abstain"]
    assert actions([NAN], Prices(escalate=0.1)) == ["escalate"]


prices = st.tuples(*[st.floats(-10, 10)] * 4).filter(lambda p: p[1] < p[0] - 1e-3)


@settings(max_examples=80, deadline=None)
@given(p=prices, q=st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_choice_has_the_highest_expected_utility(p, q):
    right, wrong, abstain, escalate = p
    for one, found in zip(q, choose(q, Prices(right, wrong, abstain, escalate)), strict=True):
        worth = [one * right + (1 - one) * wrong, abstain, escalate]
        assert worth[found] == pytest.approx(max(worth))


def test_prices_of_their_own_for_each_decision():
    found = actions([0.8, 0.8, 0.8], Prices(wrong=np.array([-1.0, -9.0, -9.0]), escalate=np.array([-1.0, -1.0, 0.2])))
    assert found == ["answer", "abstain", "escalate"]


def test_a_cost_matrix_by_brute_force():
    rng = np.random.default_rng(0)
    p, u = rng.dirichlet([1, 1, 1], 50), rng.normal(size=(50, 4, 3))
    best = [max(range(4), key=lambda a: sum(u[s, a, y] * p[s, y] for y in range(3))) for s in range(50)]
    assert choose_by_matrix(p, u).tolist() == best
    same = np.broadcast_to(u[0], u.shape)
    np.testing.assert_array_equal(choose_by_matrix(p, u[0]), choose_by_matrix(p, same))


def test_prices_are_a_cost_matrix_with_two_outcomes():
    q = np.linspace(0, 1, 101)
    matrix = [[1, -5], [0, 0], [0.3, 0.3]]  # rows: answer, abstain, escalate; columns: right, wrong
    found = choose_by_matrix(np.stack([q, 1 - q], 1), matrix)
    np.testing.assert_array_equal(found, choose(q, Prices(wrong=-5, escalate=0.3)))


# One more draw


def test_what_one_more_draw_is_worth_by_hand():
    # One problem with q of 0.2, 0.6 and 1.0, the first two wrong. Three groups of pairs, prices 1 / -1 / 0, so what
    # is there is worth 0, 0.2 and 1. From 0.2 the next is 0.6, answered and wrong, or 1.0, right: (-1 + 1) / 2 = 0.
    # From 0.6: 0.2, not taken, or 1.0: (0.2 + 1) / 2 = 0.6. From 1.0 nothing is surer: 1.
    draw = NextDraw(groups=3).fit([0.2, 0.6, 1.0], [0, 0, 1], [0, 0, 0])
    np.testing.assert_allclose(draw.predict([0.2, 0.6, 1.0], Prices()), [0, 0.6, 1.0])
    assert actions([0.6, 1.0], Prices(resample=-0.3), draw.predict([0.6, 1.0], Prices())) == ["resample", "answer"]
    assert actions([0.6], Prices(resample=-0.5), draw.predict([0.6], Prices())) == ["answer"]


def test_a_draw_is_worth_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    q, y, problem = rng.random(30), rng.integers(0, 2, 30), np.repeat(np.arange(6), 5)
    pairs = [(a, b) for a, b in itertools.permutations(range(30), 2) if problem[a] == problem[b]]
    found = NextDraw(groups=1).fit(q, y, problem).predict([0.4, 0.9], Prices(wrong=-2))
    for now, value in zip((0.4, 0.9), found, strict=True):
        kept = max(0, now - 2 * (1 - now))
        worth = [(1 if y[b] else -2) if q[b] > now and q[b] >= 2 / 3 else kept for _, b in pairs]
        assert value == pytest.approx(np.mean(worth))


def test_samples_of_a_hard_problem_promise_little():
    q, y, problem = [0.1] * 8 + [0.2, 1.0] * 4, [0] * 8 + [0, 1] * 4, [0] * 8 + [1] * 8
    draw = NextDraw(groups=2).fit(q, y, problem)
    low, high = draw.predict([0.1, 0.2], Prices())
    assert low == 0
    assert high > 0.4


def test_a_sure_and_wrong_sample_is_no_gain():
    q, problem = np.tile([0.1, 0.95], 20), np.repeat(np.arange(20), 2)
    believed = NextDraw().fit(q, np.tile([0, 1], 20), problem).predict([0.1], Prices())
    cursed = NextDraw().fit(q, np.tile([0, 0], 20), problem).predict([0.1], Prices())
    assert believed == 1
    assert cursed == -1  # it would be answered, and it is wrong


def test_draws_at_prices_of_their_own():
    rng = np.random.default_rng(1)
    q, y, problem = rng.random(40), rng.integers(0, 2, 40), np.repeat(np.arange(10), 4)
    draw = NextDraw().fit(q, y, problem)
    worth = draw.predict(q, Prices(wrong=-3, abstain=-0.2))
    mixed = draw.predict(q, Prices(wrong=np.where(np.arange(40) % 2, -3.0, -30.0), abstain=-0.2))
    np.testing.assert_allclose(mixed[1::2], worth[1::2])


# Bad input


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"wrong": 1.0}, "wrong must be worth less"),
        ({"abstain": NAN}, "'abstain' must be a finite number"),
        ({"resample": 0.0}, "must be below 0"),
        ({"wrong": np.array([-1.0, 2.0])}, "wrong must be worth less"),
    ],
)
def test_bad_prices(prices, message):
    with pytest.raises(SpecError, match=message):
        Prices(**prices)


def test_bad_decisions():
    with pytest.raises(DataError, match=r"lie in \[0, 1\]"):
        choose([1.1], Prices())
    with pytest.raises(DataError, match="Fit NextDraw"):
        choose([0.5], Prices(resample=-1))
    with pytest.raises(DataError, match="two or more samples"):
        NextDraw().fit([0.5, 0.6], [1, 1], [0, 1])
    with pytest.raises(DataError, match="Expected"):
        choose_by_matrix([[0.5, 0.5]], [[1, 2, 3]])
    with pytest.raises(DataError, match="finite"):
        choose_by_matrix([[NAN, 0.5]], [[1, 2]])
