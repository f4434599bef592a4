"""Rows over few prompts, and the packed model against the plain one on them."""

import torch

from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import share_prompts


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


def packed_logps(model, *rows):
    packed = pack(*rows)
    logits = model(**packed.model_inputs).logits
    labels = packed.labels_1L[:, 1:]
    per_token = logits[:, :-1].log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return per_token.new_zeros(rows[2].shape).index_put(packed.where, per_token[labels != -100])


def assert_same(model, rows):
    """Plain first, then the same model over the packed rows: values and the gradients of every weight."""
    expected = plain_logps(model, *rows)
    expected.sum().backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    assert share_prompts(model)
    got = packed_logps(model, *rows)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    got.sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(plain_logps(model, *rows), expected, atol=1e-6, rtol=1e-6)  # and without a layout
