"""GDPO: each reward term is normalised by itself, so that no term's spread drowns another's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlvr.advantages.base import Transform, kept_deviation, kept_std, require_divisor, require_one_credit_each
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class gdpo(Transform):
    """Normalise each of several reward terms within its group (2601.05242), ddof and eps as in TRL.

        z_ik = (r_ik - mean_k) / (std_k + eps)     term k over the kept completions of the group it applies to
        S_i  = sum_k w_k z_ik
        A_i  = (S_i - mean S) / (std S + eps)      over the kept completions of the batch

    A term that does not apply to a completion adds 0 to it; one that is constant in a group says nothing
    there. Summed rewards give (1, 0) and (0, 1) the same credit in every group; here the rarer success counts more.
    Reads the terms and their weights; replaces the incoming advantage.

    >>> rollouts = Rollouts.of([[1.0, 1.0, 1.0, 0.0]], terms_PGF=[[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]])
    >>> gdpo(eps=1e-9)(rollouts).adv.round(decimals=2)  # the first term succeeds once in four, the second twice
    tensor([[ 0.6900,  0.4000,  0.4000, -1.4900]])
    """

    eps: float = 1e-4
    ddof: int = 1

    def __post_init__(self) -> None:
        require_divisor(self, self.eps, self.ddof)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        require_one_credit_each(self, signal)
        total = torch.zeros_like(signal.adv)
        for term_PG, weight in zip(rollouts.terms_PGF.unbind(-1), rollouts.weights_F.tolist(), strict=True):
            total += weight * self._standardise(term_PG.nan_to_num(0.0), signal.keep_PG & ~term_PG.isnan(), dim=1)
        return Signal(self._standardise(total, signal.keep_PG, dim=(0, 1)), signal.keep_PG, signal.dropped)

    def _standardise(self, values: Tensor, keep: Tensor, dim: int | tuple[int, int]) -> Tensor:
        return kept_deviation(values, keep, dim) / (kept_std(values, keep, self.ddof, dim) + self.eps)
