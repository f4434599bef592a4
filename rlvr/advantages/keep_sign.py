"""Keep one sign only: positive or negative reinforcement, by correctness."""

from dataclasses import dataclass
from typing import ClassVar

from rlvr.advantages.base import Transform
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class keep_positive(Transform):
    """Drop the wrong completions: they leave the loss and its normaliser (2506.01347, PSR's subset of rows).

    Reads `correct`. The divisor of the loss is what is kept; nothing is sampled again.

    >>> keep_positive()(Rollouts.of([[1.0, 0.0]])).keep_PG
    tensor([[ True, False]])
    """

    reads_verdicts: ClassVar[bool] = True

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        return signal.drop("keep_positive", ~rollouts.correct_PG)


@dataclass(frozen=True)
class keep_negative(Transform):
    """Drop the right completions: they leave the loss and its normaliser (2506.01347, NSR's subset of rows).

    Reads `correct`. The divisor of the loss is what is kept; nothing is sampled again.

    >>> keep_negative()(Rollouts.of([[1.0, 0.0]])).keep_PG
    tensor([[False,  True]])
    """

    reads_verdicts: ClassVar[bool] = True

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        return signal.drop("keep_negative", rollouts.correct_PG)
