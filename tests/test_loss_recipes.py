"""Recipes whose loss is TRL's own option: loss and gradient against the paper's formula, written out over a plain forward."""

import pytest
import torch

from rlvr.advantages import build
from rlvr.config.recipe_files import read_recipes
from tests.trainers import loss_and_gradient, one_batch

ADV = torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.3, -0.3])


def gspo(log_ratio, logps, mask):
    """mean over sequences of min(s A, clip(s, 1 - 3e-4, 1 + 4e-4) A), s = exp(mean log ratio of its tokens)."""
    s = ((log_ratio * mask).sum(1) / mask.sum(1)).exp()
    return -torch.min(s * ADV, s.clamp(1 - 3e-4, 1 + 4e-4) * ADV).mean()


def cispo(log_ratio, logps, mask):
    """token mean of sg(min(ratio, 5)) A log pi: every token keeps a gradient."""
    weight = log_ratio.exp().clamp(max=5.0).detach()
    return -(weight * ADV[:, None] * logps * mask).sum() / mask.sum()


def clip_higher(log_ratio, logps, mask):
    """token mean of min(ratio A, clip(ratio, 0.8, 1.28) A)."""
    ratio, adv = log_ratio.exp(), ADV[:, None]
    return -(torch.min(ratio * adv, ratio.clamp(0.8, 1.28) * adv) * mask).sum() / mask.sum()


@pytest.mark.parametrize(("formula", "spread"), [(gspo, 1e-3), (cispo, 2.0), (clip_higher, 0.5)])
def test_loss_and_gradient_are_the_papers(make_trainer, formula, spread):
    settings = read_recipes([formula.__name__])
    advantage, _ = build(settings.pop("advantage")), settings.pop("rewards")
    assert settings["num_iterations"] == 2  # or no ratio ever differs from 1
    trainer = make_trainer(model="tiny", advantage=advantage, **settings)
    out = one_batch(trainer)
    out["advantages"] = ADV

    ids, mask = (torch.cat([out[f"prompt_{k}"], out[f"completion_{k}"]], 1) for k in ("ids", "mask"))
    width = out["completion_ids"].shape[1]
    logits = trainer.model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
    logps = logits[:, -width - 1 : -1].log_softmax(-1).gather(-1, out["completion_ids"][..., None])[..., 0]
    generator = torch.Generator().manual_seed(0)
    out["old_per_token_logps"] = logps.detach() + spread * torch.randn(logps.shape, generator=generator)

    expected = formula(logps - out["old_per_token_logps"], logps, out["completion_mask"])
    trainer.model.zero_grad()
    expected.backward()
    wanted = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    loss, gradient = loss_and_gradient(trainer, out)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)
    assert wanted.any()


def test_the_clips_bite(tmp_path):
    """With these spreads some ratios are clipped and some are not: the formulas above were really told apart."""
    noise = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    s = (1e-3 * noise).mean(1).neg().exp()
    assert 0 < ((s > 1 + 4e-4) | (s < 1 - 3e-4)).sum() < 8
    assert 0 < ((-2.0 * noise).exp() > 5).sum() < 48
    assert 0 < (((-0.5 * noise).exp() > 1.28) | ((-0.5 * noise).exp() < 0.8)).sum() < 48
