"""Baseline: position as one more feature of the candidate, fixed at serving."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlvr.decide.ranking.base import Ranker


class PositionFeatureRanker(Ranker):
    """Fit P(chosen | x, position); serve with every candidate at the first position (other bias: the commonest).

    The network may mix position with the candidate freely: flexible, but nothing keeps the two apart, and the
    value that is fixed at serving decides part of the order. Source: baseline of doi 10.1145/3298689.3346997.
    """

    def _bias_net(self, sizes: list[int], codes: Tensor) -> nn.Module:
        self.sizes_ = sizes
        served = [1 if name == "position" else int(codes[:, f].mode().values)
                  for f, name in enumerate(self.categories_)]  # fmt: skip
        self.served_ = torch.tensor([served])
        return nn.Identity()

    def _inputs(self, x: Tensor, codes: Tensor) -> Tensor:
        shown = [F.one_hot(code, size + 1).float() for code, size in zip(codes.T, self.sizes_, strict=True)]
        return torch.cat([x, *shown], dim=1)

    def _serving_inputs(self, x: Tensor) -> Tensor:
        return self._inputs(x, self.served_.expand(len(x), -1))
