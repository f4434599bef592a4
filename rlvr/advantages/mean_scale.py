"""Scale: divide by the mean reward of the group, so that rare successes weigh as maximum likelihood would have them."""

from dataclasses import dataclass, replace

import torch

from rlvr.advantages.base import Transform, kept_mean, over_tokens
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class mean_scale(Transform):
    """Divide by the mean reward of the group's kept completions; 0 where that mean is not above 0 (2602.02710).

    After `group_center` this is MaxRL, (r_i - mean) / mean: with c right of n, (n - c) / c and -1. The weight of a
    lucky success grows as 1 / rate (not its square root, as with the standard deviation), so on near-impossible
    problems it amplifies more than GRPO: filter them. Rewards must not be negative.

    >>> from rlvr.advantages import group_center
    >>> rollouts = Rollouts.of([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    >>> mean_scale()(rollouts, group_center()(rollouts)).adv
    tensor([[ 3., -1., -1., -1.],
            [ 0.,  0.,  0.,  0.]])
    """

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        mean_P1 = kept_mean(rollouts.reward_PG.nan_to_num(0.0), signal.keep_PG)
        inverse = torch.where(mean_P1 > 0, 1 / mean_P1.clamp(min=1e-12), 0.0)
        return replace(signal, adv=signal.adv * over_tokens(inverse, signal))
