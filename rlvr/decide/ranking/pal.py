"""Baseline: a choice needs that the place is looked at and that the candidate pleases (PAL)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.shallow_tower import ShallowTower


class PALRanker(Ranker):
    """Fit P(chosen) = P(seen | position, ...) P(chosen | seen, x); serve with the second factor alone.

    Both factors are fitted together by maximum likelihood; a constant may move between them (as long as both stay
    below 1), so only ratios of P(seen) mean something. Source: doi 10.1145/3298689.3347033 (PAL).
    """

    def position_curve(self) -> dict[Any, float]:
        """Return position -> ln P(seen), relative to the first position (other bias missing)."""
        codes = torch.zeros(len(self.positions_), len(self.categories_), dtype=torch.long)
        codes[:, list(self.categories_).index("position")] = torch.arange(1, len(self.positions_) + 1)
        logs = F.logsigmoid(self.bias_net_(codes)).detach()
        return {p: float(value - logs[0]) for p, value in zip(self.positions_, logs, strict=True)}

    def _bias_net(self, sizes: list[int], codes: Tensor) -> nn.Module:
        return ShallowTower(sizes)

    def _chosen_loss(self, logit_B: Tensor, chosen_B: Tensor, codes_B: Tensor) -> Tensor:
        log_p = F.logsigmoid(self.bias_net_(codes_B)) + F.logsigmoid(logit_B)
        log_not = torch.log(-torch.expm1(log_p.clamp(max=-1e-6)))
        return -(chosen_B * log_p + (1 - chosen_B) * log_not)
