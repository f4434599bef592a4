"""Rank without position bias: a shallow tower explains away how the log was shown."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlvr.core.errors import SpecError
from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.shallow_tower import ShallowTower


@dataclass(kw_only=True, eq=False, repr=False)
class TowerRanker(Ranker):
    """Fit logit P(chosen) = logit(x) + tower(position, interface, sampler); serve with all of the latter missing.

    Args:
        dropout: chance that a training row loses its bias features; at 0 the missing state is never trained, and the
            served probability is off by an arbitrary constant in the logit.
        others: see `Ranker`.

    What the log cannot tell apart is not told apart: where position is a function of the features, any part of the
    relevance may end up in the tower. Source: doi 10.1145/3298689.3346997, section on selection bias.
    """

    dropout: float = 0.1

    def position_curve(self) -> dict[Any, float]:
        """Return position -> logit that it adds, relative to the first position."""
        assert isinstance(self.bias_net_, ShallowTower)
        table = self.bias_net_.tables[list(self.categories_).index("position")].tolist()
        return {p: table[code] - table[1] for code, p in enumerate(self.positions_, 1)}

    def _bias_net(self, sizes: list[int], codes: Tensor) -> nn.Module:
        if not 0 <= self.dropout < 1:
            raise SpecError(f"dropout must be in [0, 1), found {self.dropout}.")
        return ShallowTower(sizes, self.dropout)

    def _chosen_loss(self, logit_B: Tensor, chosen_B: Tensor, codes_B: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logit_B + self.bias_net_(codes_B), chosen_B, reduction="none")

    def _serving(self, logit_N: Tensor) -> Tensor:
        missing = torch.zeros(1, len(self.categories_), dtype=torch.long)
        return logit_N + self.bias_net_(missing).detach()
