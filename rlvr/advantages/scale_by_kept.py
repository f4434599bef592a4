"""Divide by all completions of the batch rather than by the kept ones."""

from dataclasses import dataclass, replace

from rlvr.advantages.base import Transform
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class scale_by_kept(Transform):
    """Multiply all credit by the share of the batch that is kept, kept / (P G).

    The loss is a mean over what is kept, so an update is as large with one completion left as with all. After this step
    it shrinks with what was dropped, as in the code of 2506.01347, which multiplies the mean of each micro-batch by its
    rows over a constant mini-batch size. Put it last: it counts what the steps before it have dropped.

    >>> from rlvr.advantages import build
    >>> build("psr, scale_by_kept")(Rollouts.of([[1.0, 0.0, 0.0, 0.0]])).adv[0, 0]
    tensor(0.2500)
    """

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        return replace(signal, adv=signal.adv * signal.keep_PG.float().mean())
