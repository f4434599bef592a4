"""Scale: divide by the spread of the whole batch's reward."""

from dataclasses import dataclass, replace

from rlvr.advantages.base import Transform, kept_std, over_tokens, require_divisor
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class batch_scale(Transform):
    """Divide by the reward's std over all kept of the batch: A_i = A_i / (std + eps) (Lite PPO, 2508.08221).

    One divisor for all groups, so that a lone success in a hard group is not amplified beyond the others.
    After `group_center()` it is TRL's `scale_rewards="batch"`, with its `eps` and `ddof`. 0 when at most
    `ddof` are kept.

    >>> batch_scale(eps=1e-9)(Rollouts.of([[2.0, 0.0], [0.0, 2.0]])).adv.round(decimals=3)
    tensor([[1.7320, 0.0000],
            [0.0000, 1.7320]])
    """

    eps: float = 1e-4
    ddof: int = 1

    def __post_init__(self) -> None:
        require_divisor(self, self.eps, self.ddof)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        std = kept_std(rollouts.reward_PG.nan_to_num(0.0), signal.keep_PG, self.ddof, dim=(0, 1))
        return replace(signal, adv=signal.adv / over_tokens(std + self.eps, signal))
