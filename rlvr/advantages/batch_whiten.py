"""Whiten: mean 0 and spread 1 over everything the batch learns from."""

from dataclasses import dataclass, replace

import torch

from rlvr.advantages.base import Transform, kept_deviation, kept_std, over_tokens, require_divisor
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class batch_whiten(Transform):
    """Whiten the credit over the kept tokens of the batch: A = (A - mean) / (std + eps) (no paper).

    Over completions for credit of shape (P, G). What PPO programs do and neither PPO (1707.06347) nor GAE asks for: it
    can turn the sign of a credit, as every baseline can. A batch of equal credits, or of one token, gets 0.

    >>> batch_whiten(eps=1e-9, ddof=0)(Rollouts.of([[1.0, 0.0]])).adv
    tensor([[ 1., -1.]])
    """

    eps: float = 1e-4
    ddof: int = 1

    def __post_init__(self) -> None:
        require_divisor(self, self.eps, self.ddof)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        counted = over_tokens(signal.keep_PG, signal)
        if signal.adv.dim() == 3:
            position = torch.arange(signal.adv.shape[-1], device=signal.adv.device)
            counted = counted & (position < rollouts.tokens_PG[..., None])
        values, mask = signal.adv.reshape(1, -1), counted.reshape(1, -1)
        centred = kept_deviation(values, mask)
        return replace(signal, adv=(centred / (kept_std(values, mask, self.ddof) + self.eps)).view_as(signal.adv))
