"""Drop groups whose rewards are all the same."""

from dataclasses import dataclass

from rlvr.advantages.base import TOLERANCE, Transform, all_equal, is_number, require
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class drop_zero_signal(Transform):
    """Drop a group when max - min of the reward over its kept completions is at most `tol` (or rounding).

    DAPO's filter (2503.14476) without its resampling: the group leaves the loss and its normaliser, nothing
    is sampled again, so the batch shrinks. Not `std == 0`, because rounding makes constant groups of 0.7
    look alive. Reads the total reward; meant for chains with a baseline, where equal rewards mean no
    credit.

    >>> drop_zero_signal()(Rollouts.of([[0.7, 0.7], [1.0, 0.0]])).keep_PG
    tensor([[False, False],
            [ True,  True]])
    """

    tol: float = TOLERANCE

    def __post_init__(self) -> None:
        require(is_number(self.tol) and self.tol >= 0, self, "tol must be a number of at least 0.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        constant_P1 = all_equal(rollouts.reward_PG.nan_to_num(0.0), signal.keep_PG, tolerance=self.tol)
        return signal.drop("drop_zero_signal", constant_P1.expand_as(signal.keep_PG))
