"""Uncentred signs: +1 for right, -1 for wrong."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from rlvr.advantages.base import Transform
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class signed(Transform):
    """Set A_i = +1 if the completion is right, else -1; no baseline, no divisor (2506.01347).

    Reads `correct`, never the total reward, so a format or Brier term cannot flip a sign. An all-wrong group
    carries its full signal, which centring would erase.

    >>> signed()(Rollouts.of([[1.0, 0.0], [0.0, 0.0]])).adv
    tensor([[ 1., -1.],
            [-1., -1.]])
    """

    reads_verdicts: ClassVar[bool] = True

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        return replace(signal, adv=torch.where(rollouts.correct_PG, 1.0, -1.0) * signal.keep_PG)
