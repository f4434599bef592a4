"""Sample by transformers' own model and cache: attention of every kind, recurrent states, and both in one model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache


class PaddedReader:
    """Read blocks of prompts, padded on the left; a new block starts when the last one has ended (see `Reader`)."""

    refills = False

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], pad_id: int):
        self.model, self.prompts, self.pad_id = model, prompts, pad_id

    def prefill(self, some: range, slots_PG: Tensor) -> Tensor:
        """Read each distinct prompt once, then share its cache with its group."""
        prompts, device = [list(self.prompts[i]) for i in some], slots_PG.device
        width, group_size = max(map(len, prompts)), slots_PG.shape[1]
        ids_PS = torch.tensor([[self.pad_id] * (width - len(p)) + p for p in prompts], device=device)
        self.mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        self.cache = DynamicCache(config=self.model.config)
        logits_PV = self._forward(ids_PS, (self.mask.cumsum(-1) - 1).clamp(min=0))
        self.cache.reorder_cache(torch.arange(len(prompts), device=device).repeat_interleave(group_size))
        self.mask = self.mask.repeat_interleave(group_size, 0)
        return logits_PV

    def step(self, token_B: Tensor) -> Tensor:
        """Read one token of each row."""
        position_B1 = self.mask.sum(-1, keepdim=True)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(token_B), 1)], -1)
        return self._forward(token_B[:, None], position_B1)

    def keep(self, slot_N: Tensor) -> None:
        """Copy the rows that go on (the cache grows by a copy at every step anyway)."""
        self.cache.reorder_cache(slot_N)
        self.mask = self.mask[slot_N]

    def _forward(self, ids_BS: Tensor, position_BS: Tensor) -> Tensor:
        out = self.model(
            input_ids=ids_BS,
            attention_mask=self.mask,
            position_ids=position_BS,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]
