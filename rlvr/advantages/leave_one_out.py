"""RLOO's baseline: the mean of the *other* completions of the group."""

from dataclasses import dataclass, replace

from rlvr.advantages.base import Transform, above_others, require_one_credit_each
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class leave_one_out(Transform):
    """Subtract the mean over kept j != i of A_j, which is n / (n - 1) times centring with n kept (2402.14740).

    A completion that is alone in its group has no baseline and gets 0; so, exactly, does a group of equal values.

    >>> leave_one_out()(Rollouts.of([[1.0, 0.0, 0.0, 0.0]])).adv.round(decimals=3)
    tensor([[ 1.0000, -0.3330, -0.3330, -0.3330]])
    """

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        require_one_credit_each(self, signal)
        return replace(signal, adv=above_others(signal.adv, signal.keep_PG))
