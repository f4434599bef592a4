"""The expected Brier loss: its probabilities and gradient by brute force, and what it teaches through the trainer."""

from contextlib import nullcontext

import pytest
import torch

import rlvr
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import SpecError
from rlvr.models.load import build_tiny
from rlvr.training.brier_loss import VALUES, BrierLoss, check_brier_loss
from rlvr.training.forward import Forward


def tiny_loss(packed, coef=1.0):
    model, tokenizer = build_tiny(seed=5, hidden=64, layers=2)
    forward = Forward.of([model], pack_prompts=packed, fused_head=False, temperature=1.0, autocast=nullcontext)
    return model, tokenizer, BrierLoss(coef, forward, lambda: model, tokenizer)


def log_chance(model, context, ids):
    """Return log P(ids | context) by the model's plain forward."""
    logits = model(torch.tensor([[*context, *ids]])).logits[0, len(context) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum()


def a_batch(tokenizer):
    """Two prompts, three completions: two state a number (one context twice), one states none."""
    prompts = tokenizer(["1+1=", "2+3="], add_special_tokens=False)["input_ids"]
    texts = [
        "<answer>2</answer><confidence>0.7</confidence>",
        "<answer>2</answer><confidence>1.0</confidence>",
        "<answer>5",
    ]
    tails = tokenizer(texts, add_special_tokens=False)["input_ids"]
    width = max(map(len, tails))
    tag = tokenizer.convert_tokens_to_ids("<confidence>")
    return {
        "prompt_ids": torch.tensor([prompts[0], prompts[0], prompts[1]]),
        "prompt_mask": torch.ones(3, len(prompts[0]), dtype=torch.long),
        "completion_ids": torch.tensor([t + [0] * (width - len(t)) for t in tails]),
        "number_starts": torch.tensor([tails[0].index(tag) + 1, tails[1].index(tag) + 1, -1]),
        "outcomes": torch.tensor([1.0, 0.0, 1.0]),
        "numbers_in_batch": torch.tensor(2),
    }


@pytest.mark.parametrize("packed", [False, True])
def test_loss_and_gradient_by_brute_force(packed):
    """Eleven teacher-forced texts for each completion, by the plain forward."""
    model, tokenizer, loss = tiny_loss(packed, coef=0.5)
    batch = a_batch(tokenizer)
    value, mean = loss(batch, 1.0)
    value.backward()
    ours = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    expected = 0
    for row, outcome in ((0, 1.0), (1, 0.0)):
        context = [
            *batch["prompt_ids"][row].tolist(),
            *batch["completion_ids"][row, : batch["number_starts"][row]].tolist(),
        ]
        ids = tokenizer([str(v) for v in VALUES], add_special_tokens=False)["input_ids"]
        chances = torch.stack([log_chance(model, context, one) for one in ids]).softmax(0)
        expected = expected + (chances * (torch.tensor(VALUES) - outcome) ** 2).sum() / 2
    (0.5 * expected).backward()
    theirs = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(value, 0.5 * expected, atol=1e-6, rtol=1e-5)
    assert mean == pytest.approx(expected.item(), abs=1e-6)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)


def test_micro_batches_sum_to_the_whole():
    """What TRL splits a batch into adds up; a micro-batch without a number adds nothing."""
    _, tokenizer, loss = tiny_loss(packed=True)
    batch = a_batch(tokenizer)
    whole, _ = loss(batch, 1.0)
    parts = [{k: v if v.dim() == 0 else v[i : i + 1] for k, v in batch.items()} for i in range(3)]
    torch.testing.assert_close(sum(loss(part, 1.0)[0] for part in parts), whole)
    assert loss(parts[2], 1.0) == (0.0, 0.0)


def test_temperature_is_that_of_sampling():
    """At a high temperature every value is as likely as its number of tokens and branches makes it: nearly uniform."""
    _, _, loss = tiny_loss(packed=True)
    loss.temperature = 1e6
    chances = loss.log_chances([(5, 6)]).softmax(-1)[0]
    torch.testing.assert_close(chances, torch.full((11,), 1 / 11), atol=1e-4, rtol=0)


def test_refused_where_no_tag_asks_for_a_confidence():
    """The loss reads <confidence>; without the tag nothing would be trained, silently."""
    with pytest.raises(SpecError, match="brier_coef trains the number in <confidence>"):
        check_brier_loss(TrainConfig(brier_coef=1.0, tags=["answer"], use_cpu=True))
    with pytest.raises(SpecError, match="brier_coef must be at least 0"):
        TrainConfig(brier_coef=-1.0, use_cpu=True)


@pytest.mark.slow  # the recipe also trains in test_recipes.py
def test_the_recipe_teaches_the_chance_of_being_right(cache, tmp_path):
    """A base whose confidence is random, on problems that it rarely gets right: E[q] falls towards that rate."""
    run = rlvr.train(
        config=["expected_brier", "operators"], data="operators(knows=(0.5, 0.0))", tags=["answer", "confidence"],
        max_completion_length=26, sft_steps=150, max_steps=12, learning_rate=1e-3, warmup_steps=2, train_size=64,
        per_device_train_batch_size=64, eval_size=8, eval_exact=False, output_dir=str(tmp_path / "run"), seed=0,
    )  # fmt: skip
    brier = run.metrics["confidence/expected_brier"]
    assert brier.iloc[0] > 0.25  # uniform over 0.0 .. 1.0: 0.35 where all is wrong
    assert brier.iloc[-1] < brier.iloc[0] - 0.1
