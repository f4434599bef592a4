"""Weigh right and wrong completions differently."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from rlvr.advantages.base import Transform, is_number, over_tokens, require
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class weigh_sign(Transform):
    """Multiply A_i by `pos` for right completions, by `neg` for wrong ones (2506.01347: W-REINFORCE, pos = 0.1).

    Reads `correct`, never the total reward. All rows stay in the divisor of the loss.

    >>> from rlvr.advantages import signed
    >>> weigh_sign(pos=0.1)(r := Rollouts.of([[1.0, 0.0]]), signed()(r)).adv
    tensor([[ 0.1000, -1.0000]])
    """

    reads_verdicts: ClassVar[bool] = True
    pos: float = 0.1
    neg: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("pos", self.pos), ("neg", self.neg)):
            require(is_number(value) and value >= 0, self, f"{name} must be a finite weight of at least 0.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        weight_PG = torch.where(rollouts.correct_PG, self.pos, self.neg)
        return replace(signal, adv=signal.adv * over_tokens(weight_PG, signal))
