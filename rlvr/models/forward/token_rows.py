"""Group rows of token ids into batches of similar length, and pad them on the right."""

from collections.abc import Sequence

import torch
from torch import Tensor


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group rows, longest first, so that longest x rows stays within the budget (a longer row stands alone).

    >>> batches([2, 4, 4], budget=8)
    [[1, 2], [0]]
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return rows of token ids as one batch (B, L), zeros on the right, and its attention mask.

    >>> padded([[5, 6], [7]], torch.device("cpu"))[1]
    tensor([[1, 1],
            [1, 0]])
    """
    ids_BL = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)
    lengths_B1 = torch.tensor([[len(row)] for row in rows], device=device)
    return ids_BL, (torch.arange(ids_BL.shape[1], device=device) < lengths_B1).long()
