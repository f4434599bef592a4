"""Learn what being shown adds to a choice: all that it may look at is how the log was shown, never the candidate."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ShallowTower(nn.Module):
    """Map how a row was shown to a logit: the sum over bias features of one learned number per value.

    Code 0 of a feature means missing, and is what serving passes. In training a row loses all its bias features with
    chance `dropout`, so that the state of serving is learned too. Numbers start at 0 and only their differences mean
    something: a constant may move between this tower and the candidate's own logit.
    Source: doi 10.1145/3298689.3346997, where 10% is dropped.

    >>> tower = ShallowTower([3]).eval()  # positions 1, 2, 3
    >>> _ = tower.tables[0].data.copy_(torch.tensor([-1.0, 0.0, -0.7, -1.1]))
    >>> tower(torch.tensor([[1], [3], [0]])).tolist()
    [0.0, -1.100000023841858, -1.0]
    """

    def __init__(self, sizes: Sequence[int], dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.tables = nn.ParameterList(torch.zeros(size + 1) for size in sizes)

    def forward(self, codes_BF: Tensor) -> Tensor:
        """Return the logits (B,) of integer codes (B, F), 0 for missing."""
        if self.training and self.dropout:
            codes_BF = codes_BF * (torch.rand(len(codes_BF), 1) >= self.dropout)
        return torch.stack([table[codes] for table, codes in zip(self.tables, codes_BF.T, strict=True)]).sum(0)
