"""The chunked head against plain autograd, against TRL's kernel, and on an end-to-end loss."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Gemma2Config, LlamaConfig
from trl.kernels.chunked_logprob import ChunkedLogProbFunction

from rlvr.models.forward import head
from rlvr.models.forward.head import can_score, score


def plain(hidden, weight, bias, targets, temperature):
    """Log-probability and entropy from the whole matrix of logits."""
    log_p = ((hidden @ weight.T + (0 if bias is None else bias)) / temperature).log_softmax(-1)
    return log_p.gather(1, targets[:, None])[:, 0], -(log_p.exp() * log_p).sum(-1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000), n=st.integers(1, 9), temperature=st.sampled_from([0.5, 1.0, 1.7]), bias=st.booleans(),
    which=st.sampled_from(["log_probs", "entropy", "both"]),
)  # fmt: skip
def test_values_and_gradients_equal_autograds(seed, n, temperature, bias, which):
    g = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(n, 6, generator=g), torch.randn(13, 6, generator=g)]
    tensors += [torch.randn(13, generator=g)] if bias else []
    targets, pull = torch.randint(0, 13, (n,), generator=g), torch.randn(2, n, generator=g)
    results = []
    for f in (score, plain):
        args = [t.clone().requires_grad_() for t in tensors]
        head.CHUNK, before = 4, head.CHUNK
        try:
            log_p, entropy = f(args[0], args[1], args[2] if bias else None, targets, temperature)
            loss = {"log_probs": 0, "entropy": 1}.get(which)
            ((log_p * pull[0]).sum() * (loss != 1) + (entropy * pull[1]).sum() * (loss != 0)).backward()
        finally:
            head.CHUNK = before
        results.append([log_p.detach(), entropy.detach(), *(a.grad for a in args)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_only_the_used_output_needs_a_gradient():
    hidden, weight = torch.randn(5, 4, requires_grad=True), torch.randn(7, 4, requires_grad=True)
    targets = torch.arange(5)
    for i in (0, 1):
        hidden.grad = None
        score(hidden, weight, None, targets, 1.0)[i].sum().backward()
        ours, hidden.grad = hidden.grad, None
        plain(hidden, weight, None, targets, 1.0)[i].sum().backward()
        torch.testing.assert_close(ours, hidden.grad, rtol=1e-4, atol=1e-5)


def test_equals_trls_kernel():
    hidden, weight = torch.randn(40, 16), torch.randn(300, 16)
    targets = torch.randint(0, 300, (40,))
    theirs = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 0.7, 128, None, 1.0, ("log_probs", "entropy"))
    for ours, other in zip(score(hidden, weight, None, targets, 0.7), theirs[:2], strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-5)


def test_no_positions_is_no_error():
    hidden = torch.randn(0, 4, requires_grad=True)
    scores = score(hidden, torch.randn(7, 4, requires_grad=True), None, torch.empty(0, dtype=torch.long), 1.0)
    scores.log_probs.sum().backward()
    assert hidden.grad.shape == (0, 4)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 700])
def test_logits_of_a_chunk_at_most_exist_at_once(n, monkeypatch):
    seen = []
    real = head._logits
    monkeypatch.setattr(head, "_logits", lambda *args: seen.append(len(args[0])) or real(*args))
    score(torch.randn(n, 4), torch.randn(7, 4), None, torch.zeros(n, dtype=torch.long), 1.0)
    assert max(seen) <= head.CHUNK and sum(seen) == n


def test_soft_caps_and_scales_are_left_to_trl():
    assert can_score(LlamaConfig())
    assert not can_score(Gemma2Config())  # final_logit_softcapping
    assert not can_score(LlamaConfig(logit_scale=0.5))
