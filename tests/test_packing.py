"""Packing changes the cost of the training pass, not its result."""

import pytest
import torch
from transformers import MistralConfig

from rlvr.models import build_tiny
from rlvr.packing import can_pack, pack


def batch(seed: int, rows: int, prompts: int, width: int = 6, length: int = 5):
    """Rows over a few distinct prompts, in mixed order, of ragged lengths; one completion is empty."""
    g = torch.Generator().manual_seed(seed)
    distinct = torch.randint(3, 60, (prompts, width), generator=g)
    pads = torch.randint(0, width - 1, (prompts,), generator=g)
    which = torch.randint(0, prompts, (rows,), generator=g)
    mask = (torch.arange(width)[None] >= pads[:, None]).long()
    lengths = torch.randint(1, length + 1, (rows,), generator=g)
    lengths[0], lengths[-1] = 0, length
    completion_mask = (torch.arange(length)[None] < lengths[:, None]).long()
    completion = torch.randint(3, 60, (rows, length), generator=g) * completion_mask
    return (distinct * mask)[which], mask[which], completion, completion_mask


def plain_logps(model, prompt, prompt_mask, completion, completion_mask):
    ids, mask = torch.cat([prompt, completion], 1), torch.cat([prompt_mask, completion_mask], 1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, prompt.shape[1] - 1 : -1]
    return logits.log_softmax(-1).gather(-1, completion[..., None])[..., 0] * completion_mask


@pytest.mark.parametrize("seed", range(4))
def test_log_probabilities_and_gradients_equal_the_plain_forward(seed):
    model, _ = build_tiny(seed=0, hidden=64, layers=2)
    rows = batch(seed, rows=9, prompts=3)
    expected = plain_logps(model, *rows)
    expected.sum().backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()

    packed = pack(*rows)
    logits = model(**packed.model_inputs).logits
    labels = packed.labels_UL[:, 1:]
    per_token = logits[:, :-1].log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    got = per_token.new_zeros(rows[2].shape).index_put(packed.where, per_token[labels != -100])
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    got.sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-4, rtol=1e-4)


def test_cost_by_hand():
    # 2 prompts of 4 tokens, 3 completions of 5 tokens each: 2 x (3 + 3 x (1 + 5)) = 42 positions, not 6 x 9 = 54
    prompt = torch.tensor([[3, 4, 5, 6]] * 3 + [[7, 8, 9, 10]] * 3)
    packed = pack(prompt, torch.ones_like(prompt), torch.full((6, 5), 11), torch.ones(6, 5))
    assert packed.input_ids_UL.numel() == 42


def test_every_query_sees_something_and_no_neighbour():
    packed = pack(*batch(7, rows=6, prompts=2))
    assert packed.attend_U1LL.any(-1).all()
    row = packed.row_UL
    for u in range(len(row)):
        attend = packed.attend_U1LL[u, 0]
        for i in range(row.shape[1]):
            seen = row[u][attend[i]]
            assert set(seen[seen >= 0].tolist()) <= {row[u, i].item()}


def test_windowed_models_are_not_packed(tiny):
    assert can_pack(tiny[0].config)
    config = MistralConfig(sliding_window=8)
    config._attn_implementation = "sdpa"
    assert not can_pack(config)
    config = MistralConfig(sliding_window=None)
    config._attn_implementation = "flash_attention_2"
    assert not can_pack(config)
