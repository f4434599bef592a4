"""Drop groups whose rewards are all the same."""

from dataclasses import dataclass

import torch

from rlvr.advantages.base import Transform, is_number, require
from rlvr.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class drop_zero_signal(Transform):
    """Drop a group when max - min of the reward over its kept completions is at most `tol`.

    DAPO's filter (2503.14476) without its resampling: the group leaves the loss and its normaliser, nothing
    is sampled again, so the batch shrinks. Not `std == 0`, because rounding makes constant groups of 0.7
    look alive. Reads the total reward; meant for chains with a baseline, where equal rewards mean no
    credit.

    >>> drop_zero_signal()(Rollouts.of([[0.7, 0.7], [1.0, 0.0]])).keep_PG
    tensor([[False, False],
            [ True,  True]])
    """

    tol: float = 1e-6

    def __post_init__(self) -> None:
        require(is_number(self.tol) and self.tol >= 0, self, "tol must be a number of at least 0.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        reward, keep = rollouts.reward_PG.nan_to_num(0.0), signal.keep_PG
        highest = reward.masked_fill(~keep, -torch.inf).amax(1, keepdim=True)
        lowest = reward.masked_fill(~keep, torch.inf).amin(1, keepdim=True)
        return signal.drop("drop_zero_signal", (highest - lowest <= self.tol).expand_as(keep))
