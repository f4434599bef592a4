"""Drop completions that ran into the length limit."""

from dataclasses import dataclass

from rlvr.advantages.base import Transform
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class drop_truncated(Transform):
    """Drop completions that were cut off by the length limit (overlong filtering, 2503.14476).

    They leave the loss and its normaliser; nothing is sampled again. Placed before centring they also leave
    the baseline; placed after, they have already shaped it.

    >>> drop_truncated()(Rollouts.of([[1.0, 0.0]], truncated_PG=[[False, True]])).keep_PG
    tensor([[ True, False]])
    """

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        return signal.drop("drop_truncated", rollouts.truncated_PG)
