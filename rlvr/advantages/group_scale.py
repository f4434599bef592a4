"""Scale: divide by the spread of the group's reward."""

from dataclasses import dataclass, replace

from rlvr.advantages.base import Transform, kept_std, over_tokens, require_divisor
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class group_scale(Transform):
    """Divide by the reward's std over the kept of the group: A_i = A_i / (std + eps) (2402.03300).

    `ddof` 1 and `eps` 1e-4 are TRL's values: one right in eight gets +2.4742, the others -0.3535. The divisor
    is what amplifies a lucky success: sqrt(G - 1) for one right in G (with ddof 0).

    Expects a centred signal: in a group of equal rewards an uncentred one is divided by eps. A group with
    at most `ddof` kept completions has no spread to speak of and gets 0.

    >>> from rlvr.advantages import group_center
    >>> grpo = group_scale()(r := Rollouts.of([[1.0] + 7 * [0.0]]), group_center()(r))
    >>> [round(a, 4) for a in grpo.adv[0, :2].tolist()]
    [2.4742, -0.3535]
    """

    eps: float = 1e-4
    ddof: int = 1

    def __post_init__(self) -> None:
        require_divisor(self, self.eps, self.ddof)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        std = kept_std(rollouts.reward_PG.nan_to_num(0.0), signal.keep_PG, self.ddof)
        return replace(signal, adv=signal.adv / over_tokens(std + self.eps, signal))
