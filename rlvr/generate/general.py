"""The general path: transformers' own model and cache, right for any decoder that transformers can load."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from rlvr.generate.rows import Rows
from rlvr.generate.sampler import Sampling


def decode(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    group_size: int,
    sampling: Sampling,
    seed: int,
    noise_rows: Tensor,
    *,
    eos_ids: Sequence[int],
    pad_id: int,
    max_rows: int,
) -> tuple[list[list[int]], list[list[float]]]:
    """Sample blocks of whole groups; each distinct prompt is prefilled once, finished rows leave the batch."""
    ids: list[list[int]] = []
    logps: list[list[float]] = []
    block = max(1, max_rows // group_size)
    for i in range(0, len(prompts), block):
        some = prompts[i : i + block]
        rows = noise_rows[i * group_size : (i + len(some)) * group_size]
        more = _decode_block(model, some, group_size, sampling, seed, rows, eos_ids, pad_id)
        ids += more[0]
        logps += more[1]
    return ids, logps


def _decode_block(model, prompts, group_size: int, sampling: Sampling, seed: int, noise_rows: Tensor, eos_ids, pad_id):
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    longest = sampling.max_tokens
    if limit := getattr(model.config, "max_position_embeddings", None):
        longest = min(longest, limit - width)
    input_ids = torch.tensor([[pad_id] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    cache = DynamicCache(config=model.config)
    logits = _forward(model, input_ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache)

    # One row per completion from here on: (P * G, ...), groups contiguous.
    cache.batch_repeat_interleave(group_size)
    logits = logits.repeat_interleave(group_size, 0)
    mask = mask.repeat_interleave(group_size, 0)
    position = mask.sum(-1, keepdim=True)
    row = torch.arange(len(mask), device=device)  # which completion each batch row is
    live = torch.ones_like(row, dtype=torch.bool)  # rows which have not ended
    rows = Rows(torch.full_like(row, longest), noise_rows, eos_ids, sampling, seed)
    while True:
        token, live = rows.take(row, logits, live)
        n_live = int(live.sum())
        if n_live == 0:
            return rows.lists()
        if n_live <= 0.8 * len(row):  # re-packing copies the cache, so not at every ending
            kept = live.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            row, token, mask, position, live = row[kept], token[kept], mask[kept], position[kept], live[kept]
        mask = torch.cat([mask, mask.new_ones(len(row), 1)], -1)
        logits = _forward(model, token[:, None], mask, position, cache)
        position = position + 1


def _forward(model, input_ids: Tensor, mask: Tensor, position: Tensor, cache: DynamicCache) -> Tensor:
    out = model(
        input_ids=input_ids,
        attention_mask=mask,
        position_ids=position,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return out.logits[:, -1]
