"""Centre: what a completion earned beyond its group's mean."""

from dataclasses import dataclass, replace

from rlvr.advantages.base import Transform, kept_deviation, require_one_credit_each
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class group_center(Transform):
    """Subtract the mean of A over the kept completions of the group (2402.03300; alone, Dr. GRPO 2503.20783).

    Afterwards each group sums to 0 over its kept completions. A group of equal values carries no credit: exactly 0.

    >>> group_center()(Rollouts.of([[1.0, 0.0, 0.0, 0.0]])).adv
    tensor([[ 0.7500, -0.2500, -0.2500, -0.2500]])
    """

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        require_one_credit_each(self, signal)
        return replace(signal, adv=kept_deviation(signal.adv, signal.keep_PG))
