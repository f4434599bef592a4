"""Drop groups whose rewards are all the same."""

from dataclasses import dataclass

import torch

from rlvr.advantages.base import Transform, require
from rlvr.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class drop_zero_signal(Transform):
    """Drop a group when max - min of its kept rewards is at most `tol`: out of the loss and its normaliser (2503.14476).

    DAPO's filter without its resampling: nothing is sampled again, so the batch shrinks. Not `std == 0`, because
    rounding makes constant groups of 0.7 look alive. Reads the total reward.

    >>> drop_zero_signal()(Rollouts.of([[0.7, 0.7], [1.0, 0.0]])).keep_PG
    tensor([[False, False],
            [ True,  True]])
    """

    tol: float = 1e-6

    def __post_init__(self) -> None:
        require(self.tol >= 0, self, "tol must be at least 0.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        reward, keep = rollouts.reward_PG.nan_to_num(0.0), signal.keep_PG
        highest = reward.masked_fill(~keep, -torch.inf).amax(1, keepdim=True)
        lowest = reward.masked_fill(~keep, torch.inf).amin(1, keepdim=True)
        return signal.drop("drop_zero_signal", (highest - lowest <= self.tol).expand_as(keep))
