"""Keep keys and values of the sequences being decoded: one slot each, live slots first, columns are positions."""

import torch
from torch import Tensor


class SlotCache:
    """Hold keys and values of live rows in the slots 0..n-1: a row that ends is replaced or the last one moves in.

    Nothing is padded on the left, so a token's column is its position; the columns grow by doubling.
    """

    def __init__(self, layers: int, slots: int, kv_heads: int, head_dim: int, columns: int, dtype, device):
        # zeros: what a mask hides still takes part as 0 x value, and 0 x NaN is NaN
        self.kv = torch.zeros(layers, 2, slots, kv_heads, columns, head_dim, dtype=dtype, device=device)

    def grow(self, columns: int) -> None:
        """Make room for `columns` positions."""
        have = self.kv.shape[4]
        if columns > have:
            layers, two, slots, heads, _, dim = self.kv.shape
            wider = self.kv.new_zeros(layers, two, slots, heads, max(columns, 2 * have), dim)
            wider[..., :have, :] = self.kv
            self.kv = wider

    def write_prompts(self, layer: int, slots_PG: Tensor | None, k_PKSD: Tensor, v_PKSD: Tensor) -> None:
        """Store prompt p in all the slots of its group."""
        assert slots_PG is not None
        columns = k_PKSD.shape[2]
        for part, new in enumerate((k_PKSD, v_PKSD)):
            target = self.kv[layer, part, :, :, :columns]
            for p, slots in enumerate(slots_PG):
                target[slots] = new[p]

    def write_step(self, layer: int, position_B: Tensor, k_BKD: Tensor, v_BKD: Tensor, columns: int):
        """Store one token of each of the first B slots; return all their keys and values, (B, K, columns, D)."""
        rows = torch.arange(len(position_B), device=position_B.device)
        k, v = self.kv[layer, 0], self.kv[layer, 1]
        k[rows, :, position_B] = k_BKD
        v[rows, :, position_B] = v_BKD
        return k[: len(rows), :, :columns], v[: len(rows), :, :columns]

    def move(self, source: Tensor, target: Tensor, columns: int) -> None:
        """Copy the slots `source` over the slots `target`, as far as `columns`."""
        if len(source):
            self.kv[:, :, target, :, :columns] = self.kv[:, :, source, :, :columns]
