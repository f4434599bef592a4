"""GAE against a double sum, its closed forms, an enumerated world with an exact critic; whitening against numpy."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.advantages import batch_whiten, build, gae, ppo
from rlvr.advantages.rollouts import Rollouts
from rlvr.core.errors import SpecError

unit = st.floats(0, 1, width=32)


@st.composite
def batches(draw):
    groups, size, width = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 7))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Rollouts.of(
        random.normal(size=(groups, size)),
        tokens_PG=random.integers(1, width + 1, (groups, size)),
        truncated_PG=random.random((groups, size)) < 0.3,
        values_PGT=random.normal(size=(groups, size, width)),
    )


def double_sum(reward, values, n, gamma, lam):
    """The definition, in float64: A_t = sum over l of (gamma lam)^l (r_{t+l} + gamma V_{t+l+1} - V_{t+l})."""
    v = [float(x) for x in values[:n]] + [0.0]
    r = [0.0] * (n - 1) + [float(reward)]
    return [
        sum((gamma * lam) ** i * (r[t + i] + gamma * v[t + i + 1] - v[t + i]) for i in range(n - t)) for t in range(n)
    ]


@settings(max_examples=60, deadline=None)
@given(batches(), unit, unit)
def test_it_is_the_double_sum_and_nothing_stands_behind_the_end(rollouts, gamma, lam):
    signal = gae(gamma, lam)(rollouts)
    assert signal.adv.shape == rollouts.values_PGT.shape
    for p, g in itertools.product(*map(range, rollouts.reward_PG.shape)):
        n, values = int(rollouts.tokens_PG[p, g]), rollouts.values_PGT[p, g]
        expected = torch.tensor(double_sum(rollouts.reward_PG[p, g], values, n, gamma, lam))
        torch.testing.assert_close(signal.adv[p, g, :n], expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(signal.returns_PGT[p, g, :n], expected + values[:n], atol=1e-4, rtol=1e-4)
        assert not signal.adv[p, g, n:].any() and not signal.returns_PGT[p, g, n:].any()


@settings(max_examples=40, deadline=None)
@given(batches(), unit, unit)
def test_closed_forms(rollouts, gamma, lam):
    values, reward = rollouts.values_PGT, rollouts.reward_PG[..., None]
    position = torch.arange(values.shape[-1])
    inside = position < rollouts.tokens_PG[..., None]
    left = (rollouts.tokens_PG[..., None] - 1 - position).clamp(min=0)

    def equal(actual, expected):
        torch.testing.assert_close(actual, expected * inside, atol=1e-5, rtol=1e-4)

    equal(gae(gamma, 1.0)(rollouts).adv, gamma**left * reward - values)
    equal(gae(gamma, 1.0)(rollouts).returns_PGT, gamma**left * reward)  # Monte Carlo: free of the critic
    following = torch.where(left > 0, values.roll(-1, -1), 0.0)
    equal(gae(gamma, 0.0)(rollouts).adv, (left == 0) * reward + gamma * following - values)
    perfect = Rollouts(**{**vars(rollouts), "values_PGT": gamma**left * reward})
    equal(gae(gamma, lam)(perfect).adv, torch.zeros_like(values))
    without = Rollouts(**{**vars(rollouts), "values_PGT": None})
    longest = int(rollouts.tokens_PG.max())
    torch.testing.assert_close(
        gae(gamma, lam)(without).adv, ((gamma * lam) ** left * reward * inside)[..., :longest], atol=1e-5, rtol=1e-4
    )


def test_without_a_critic_at_gamma_lambda_one_it_is_the_plain_return():
    rollouts = Rollouts.of([[1.0, 0.25]], tokens_PG=[[3, 1]])
    assert gae()(rollouts).adv.tolist() == [[[1.0, 1.0, 1.0], [0.25, 0.0, 0.0]]]


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_an_exact_critic_leaves_no_credit_on_average_in_any_state(lam):
    """All 2^3 sentences over two words, P(word 1) depends on the prefix: E[A_t | prefix] = 0; at lam 0 A = Q - V."""
    draw = np.random.default_rng(3)
    chance = {p: draw.uniform(0.1, 0.9) for k in range(3) for p in itertools.product((0, 1), repeat=k)}
    value = {s: draw.normal() for s in itertools.product((0, 1), repeat=3)}  # the reward of a whole sentence
    sentences = list(value)
    for k in (2, 1, 0):
        for p in itertools.product((0, 1), repeat=k):
            value[p] = chance[p] * value[*p, 1] + (1 - chance[p]) * value[*p, 0]
    weight = [np.prod([chance[s[:t]] if s[t] else 1 - chance[s[:t]] for t in range(3)]) for s in sentences]
    rollouts = Rollouts.of(
        [[value[s] for s in sentences]],
        tokens_PG=[[3] * 8],
        values_PGT=[[[value[s[:t]] for t in range(3)] for s in sentences]],
    )
    adv = gae(1.0, lam)(rollouts).adv[0].numpy()
    for t in range(3):
        for prefix in itertools.product((0, 1), repeat=t):
            mine = [i for i, s in enumerate(sentences) if s[:t] == prefix]
            assert abs(sum(weight[i] * adv[i, t] for i in mine)) < 1e-6
    if lam == 0:
        expected = [[value[s[: t + 1]] - value[s[:t]] for t in range(3)] for s in sentences]
        np.testing.assert_allclose(adv, expected, atol=1e-6)


def test_at_lambda_one_a_critic_moves_all_credits_of_a_state_alike():
    """Differences between two completions with the same values stay those of the reward, however wrong the critic."""
    rollouts = Rollouts.of([[1.0, 0.0]], tokens_PG=[[2, 2]], values_PGT=[[[0.7, -3.0], [0.7, -3.0]]])
    adv = gae()(rollouts).adv[0]
    torch.testing.assert_close(adv[0] - adv[1], torch.ones(2))


def test_what_stands_behind_the_end_is_never_read():
    rollouts = Rollouts.of([[1.0]], tokens_PG=[[2]], values_PGT=[[[0.5, 0.5, torch.nan]]])
    assert gae(lam=0.5)(rollouts).adv.tolist() == [[[0.25, 0.5, 0.0]]]  # d = (0, .5): 0 + .5 * .5, .5


def test_dropped_and_unscored_completions_carry_nothing_and_returns_outlive_later_steps():
    rollouts = Rollouts.of(
        [[1.0, 0.0, torch.nan]], tokens_PG=[[2, 2, 2]], truncated_PG=[[False, True, False]],
        values_PGT=torch.full((1, 3, 2), 0.25),
    )  # fmt: skip
    for text in ("drop_truncated, gae", "gae, drop_truncated"):
        signal = build(text)(rollouts)
        assert signal.keep_PG.tolist() == [[True, False, False]]
        assert signal.adv.tolist() == [[[0.75, 0.75], [0.0, 0.0], [0.0, 0.0]]]
        assert signal.returns_PGT[0, 0].tolist() == [1.0, 1.0]
    assert torch.equal(build("gae, batch_whiten")(rollouts).returns_PGT, gae()(rollouts).returns_PGT)


@pytest.mark.parametrize("text", ["gae(gamma=1.1)", "gae(lam=-0.1)", "batch_whiten(eps=0)", "batch_whiten(ddof=2)"])
def test_wrong_parameters_are_refused(text):
    with pytest.raises(SpecError):
        build(text)


def test_it_takes_one_credit_per_completion():
    with pytest.raises(SpecError, match="needs one advantage per completion"):
        build("gae, gae")(Rollouts.of([[1.0, 0.0]]))


def test_ppo_by_hand():
    """Credits 1 1 (the right one) and 0 (the wrong one's only token): mean 2/3, std (ddof 1) sqrt(1/3) = .57735."""
    rollouts = Rollouts.of([[1.0, 0.0]], tokens_PG=[[2, 1]])
    adv = ppo()(rollouts).adv[0]
    torch.testing.assert_close(adv, torch.tensor([[0.57725, 0.57725], [-1.1545, 0.0]]), atol=1e-5, rtol=0)
    assert ppo(gamma=0.9, lam=0.8, whiten=False).transforms == (gae(0.9, 0.8),)


@settings(max_examples=30, deadline=None)
@given(batches())
def test_whitening_is_numpys_over_the_kept_tokens(rollouts):
    signal = build("drop_truncated, gae")(rollouts)
    inside = torch.arange(signal.adv.shape[-1]) < rollouts.tokens_PG[..., None]
    kept = (inside & signal.keep_PG[..., None]).numpy()
    white = batch_whiten()(rollouts, signal).adv.numpy()
    assert not white[~kept].any()
    if kept.sum() > 1:
        raw = signal.adv.double().numpy()[kept]
        np.testing.assert_allclose(white[kept], (raw - raw.mean()) / (raw.std(ddof=1) + 1e-4), atol=1e-3)
    else:
        assert not white.any()


def test_equal_credits_leave_nothing():
    assert ppo()(Rollouts.of([[0.7, 0.7]], tokens_PG=[[5, 3]])).adv.abs().max() < 1e-2
