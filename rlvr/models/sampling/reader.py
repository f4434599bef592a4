"""Read sequences during decoding: return logits after each prompt, then after each new token; move rows that go on."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from rlvr.models.sampling.cache import SlotCache
from rlvr.models.sampling.llama import LlamaForward


class Reader(Protocol):
    """Read the sequences that are being decoded with one model: live rows are the slots 0..n-1.

    `refills` says whether prompts may move in while other rows are still live.
    """

    refills: bool

    def prefill(self, some: range, slots_PG: Tensor) -> Tensor:
        """Read the prompts `some`, each for all the slots of its group; return logits (P, V)."""
        ...

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of each of the B live slots; return logits (B, V)."""
        ...

    def keep(self, slot_N: Tensor) -> None:
        """Keep N rows: slot i takes over what slot `slot_N[i]` (at least i) held."""
        ...


class SlotReader:
    """Read by the fast path: hold a forward, its cache, and how far each slot has read."""

    refills = True

    def __init__(self, forward: LlamaForward, prompts: Sequence[Sequence[int]], pad_id: int, slots: int, room: int):
        device = forward.embed.device
        self.forward, self.prompts, self.pad_id = forward, prompts, pad_id
        columns = max(map(len, prompts)) + min(room, 256)
        self.cache = SlotCache(
            forward.layers, slots, forward.kv_heads, forward.head_dim, columns, forward.dtype, device
        )
        self.position = torch.zeros(slots, dtype=torch.long, device=device)  # of the next token
        self.longest = 0  # the largest of the live ones, known without asking the device

    def prefill(self, some: range, slots_PG: Tensor) -> Tensor:
        """Read the prompts `some`, padded on the right."""
        prompts = [list(self.prompts[i]) for i in some]
        width, device = max(map(len, prompts)), self.position.device
        length_P = torch.tensor([len(p) for p in prompts], device=device)
        self.longest = max(self.longest, width)
        self.position[slots_PG] = length_P[:, None]
        ids_PS = torch.tensor([p + [self.pad_id] * (width - len(p)) for p in prompts], device=device)
        return self.forward.prefill(ids_PS, length_P, self.cache, slots_PG)

    def step(self, token_B: Tensor) -> Tensor:
        """Read one token of each live slot, at its own position."""
        position_B = self.position[: len(token_B)]
        self.longest += 1
        logits_BV = self.forward.step(token_B, position_B, self.cache, self.longest)
        position_B += 1
        return logits_BV

    def keep(self, slot_N: Tensor) -> None:
        """Copy what moves; a row that stays costs nothing."""
        moved = (slot_N != torch.arange(len(slot_N), device=slot_N.device)).nonzero()[:, 0]
        self.cache.move(slot_N[moved], moved, self.cache.kv.shape[4])
        self.position[moved] = self.position[slot_N[moved]]
        self.longest = int(self.position[: len(slot_N)].max()) if len(slot_N) else 0
