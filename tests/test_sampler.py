"""The sampler draws from softmax(logits / T), reports the right log-probability, and a row owns its noise."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from scipy import stats

from rlvr.models.sampling.sampler import draw, row_uniforms, truncate


def test_uniforms_are_uniform_and_independent_across_rows_steps_and_seeds():
    u = torch.stack([row_uniforms(3, torch.arange(4000), step) for step in range(5)])
    assert u.min() > 0 and u.max() < 1
    for sample in (*u, u[:, 7 * 100 : 7 * 100 + 300].flatten(), row_uniforms(4, torch.arange(4000), 0)):
        assert stats.kstest(sample.numpy(), "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(u[0], u[1]).statistic) < 0.05
    assert abs(stats.pearsonr(u[0, :-1], u[0, 1:]).statistic) < 0.05
    assert abs(stats.pearsonr(u[0], row_uniforms(4, torch.arange(4000), 0)).statistic) < 0.05


def test_splitmix_constants_against_plain_integers():
    """The vectorised hash equals the same formula in Python integers modulo 2^64."""
    m64 = 2**64 - 1

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & m64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & m64
        return x ^ (x >> 31)

    golden = 0x9E3779B97F4A7C15
    for seed, row, step in ((0, 0, 0), (7, 3, 11), (2**40 + 5, 255, 1023)):
        base = mix((seed * golden + step) & m64)
        bits = mix((mix((row * golden + base) & m64) + golden) & m64)
        expected = ((bits >> 41) + 0.5) / 2**23
        assert row_uniforms(seed, torch.tensor([row]), step).item() == pytest.approx(expected, abs=1e-7)


def test_draws_follow_the_softmax_chi_square():
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, -3.0, 0.5])
    n = 40_000
    ids, _ = draw(logits.expand(n, -1), row_uniforms(0, torch.arange(n), 0), temperature=0.7)
    expected = (logits.double() / 0.7).softmax(0) * n
    assert stats.chisquare(torch.bincount(ids, minlength=6).numpy(), expected.numpy()).pvalue > 1e-3


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 3.0))
def test_log_probability_of_the_drawn_token(seed, temperature):
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(seed)) * 4
    ids, logps = draw(logits, row_uniforms(seed, torch.arange(5), 0), temperature)
    torch.testing.assert_close(
        logps, (logits / temperature).log_softmax(-1).gather(1, ids[:, None])[:, 0], atol=1e-5, rtol=1e-5
    )


def test_a_row_does_not_depend_on_its_neighbours():
    logits = torch.randn(8, 100)
    rows = torch.arange(8)
    whole, _ = draw(logits, row_uniforms(5, rows, 2))
    part, _ = draw(logits[[6, 1]], row_uniforms(5, rows[[6, 1]], 2))
    assert part.tolist() == whole[[6, 1]].tolist()


def test_greedy_and_extreme_noise():
    logits = torch.tensor([[0.0, 5.0, -torch.inf]])
    assert draw(logits, torch.tensor([0.9]), temperature=0.0)[0].item() == 1
    almost_one = torch.tensor([1 - 2**-24])
    assert draw(logits, almost_one)[0].item() == 1  # never the impossible last token
    assert draw(torch.tensor([[-torch.inf, 0.0]]), torch.tensor([2.0**-24]))[0].item() == 1  # nor the first


def test_top_k_and_top_p_by_hand():
    # probabilities 0.5, 0.3, 0.15, 0.05
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert truncate(logits, top_k=2).isinf().tolist() == [[False, False, True, True]]
    # the nucleus of 0.7 holds 0.5 and the token that crosses the line (0.5 + 0.3 >= 0.7)
    assert truncate(logits, top_p=0.7).isinf().tolist() == [[False, False, True, True]]
    assert truncate(logits, top_p=0.5).isinf().tolist() == [[False, True, True, True]]
    assert not truncate(logits, top_p=1.0).isinf().any()
