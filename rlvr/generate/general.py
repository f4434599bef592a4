"""The general path: transformers' own model and cache, right for any decoder that transformers can load."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from rlvr.generate.sampler import Sampling, draw, row_uniforms


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
    total = len(prompts) * group_size
    all_ids = torch.zeros(total, longest, dtype=torch.long, device=device)
    all_logps = torch.zeros(total, longest, device=device)
    length = torch.zeros(total, dtype=torch.long, device=device)
    eos = torch.tensor(list(eos_ids), device=device)
    noise_rows = noise_rows.to(device)
    row = torch.arange(total, device=device)  # which completion each batch row is
    live = torch.ones(total, dtype=torch.bool, device=device)  # rows which have not ended
    for step in range(longest):
        token, logp = draw(
            logits,
            row_uniforms(seed, noise_rows[row], step),
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
        )
        all_ids[row, step] = token
        all_logps[row, step] = logp
        length[row] += live
        live = live & ~torch.isin(token, eos)
        n_live = int(live.sum())
        if n_live == 0 or step == longest - 1:
            break
        if n_live <= 0.8 * len(row):  # re-packing copies the cache, so not at every ending
            kept = live.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            row, token, mask, position, live = (
                row[kept],
                token[kept],
                mask[kept],
                position[kept],
                live[kept],
            )
        mask = torch.cat([mask, mask.new_ones(len(row), 1)], -1)
        logits = _forward(model, token[:, None], mask, position, cache)
        position = position + 1
    ends = length.tolist()
    ids = [r[:n] for r, n in zip(all_ids.tolist(), ends, strict=True)]
    logps = [r[:n] for r, n in zip(all_logps.tolist(), ends, strict=True)]
    return ids, logps


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
