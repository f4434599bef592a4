"""Credit in two parts: answer tokens are judged by correctness, confidence tokens by calibration."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from rlvr.advantages.base import Transform, is_number, kept_deviation, kept_mean, kept_std, require, require_divisor
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class split_confidence(Transform):
    """Credit answer and confidence apart, (P, G, T): DCPO's two normalised signals on disjoint tokens (2603.09117).

        tokens before the confidence tag:  z(y)            y = 1 if right, else 0
        from the confidence tag on:        z(-|q - R|)     R = lam * (group's accuracy) + (1 - lam) * y

    z(x) = (x - mean) / (std + eps) over the kept completions of the group (those that state a confidence, for the
    second). So a group that is all right or all wrong still teaches its confidence, and noise in the confidence never
    reaches the working. Reads `correct` and the confidence; replaces the incoming advantage. A completion without a
    readable confidence gets the first credit on all its tokens; let a format term or `drop_truncated` deal with it.

    >>> rollouts = Rollouts.of([[1.0, 0.0]], confidence_PG=[[0.9, 0.9]], tokens_PG=[[3, 3]], split_PG=[[2, 2]])
    >>> split_confidence(lam=0.0, ddof=0)(rollouts).adv.round(decimals=2)  # 0.9 suits the right one
    tensor([[[ 1.,  1.,  1.],
             [-1., -1., -1.]]])
    """

    reads_verdicts: ClassVar[bool] = True
    lam: float = 0.5
    eps: float = 1e-4
    ddof: int = 1

    def __post_init__(self) -> None:
        require(is_number(self.lam) and 0 <= self.lam <= 1, self, "lam must lie in [0, 1].")
        require_divisor(self, self.eps, self.ddof)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        keep = signal.keep_PG
        right = rollouts.correct_PG.float()
        target = self.lam * kept_mean(right, keep) + (1 - self.lam) * right
        stated = keep & rollouts.confidence_PG.isfinite()
        distance = (rollouts.confidence_PG.nan_to_num(0.0) - target).abs()
        answer_PG, confidence_PG = self._standardise(right, keep), self._standardise(-distance, stated)
        return spread_over_tokens(answer_PG, confidence_PG, stated, rollouts, signal)

    def _standardise(self, values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return kept_deviation(values, keep) / (kept_std(values, keep, self.ddof) + self.eps)


def spread_over_tokens(
    answer_PG: torch.Tensor, confidence_PG: torch.Tensor, stated_PG: torch.Tensor, rollouts: Rollouts, signal: Signal
) -> Signal:
    """Return the signal (P, G, T): one credit for the tokens before the confidence, another for those from it on.

    A completion that states none has the first on all its tokens; there is none after its end, or where it is dropped.
    """
    keep = signal.keep_PG
    position = torch.arange(int(rollouts.tokens_PG.max().clamp(min=1)), device=keep.device)
    before = (position < rollouts.split_PG[..., None]) | ~stated_PG[..., None]
    inside = position < rollouts.tokens_PG[..., None]
    adv = torch.where(before, answer_PG[..., None], confidence_PG[..., None]) * inside
    return Signal(adv * keep[..., None], keep, signal.dropped)
