"""Zero the credit of one sign, but leave the rows in the normaliser."""

from dataclasses import dataclass, replace

from rlvr.advantages.base import Transform, require
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class mask_sign(Transform):
    """Keep credit of one sign: max(A_i, 0) for sign="positive", min(A_i, 0) for sign="negative" (no paper).

    NOT the PSR / NSR of 2506.01347: it masks by the sign of the *advantage*, whatever that was normalised
    by, and every row stays in the divisor of the loss. After a centring step, all-wrong groups already
    carry nothing.

    >>> from rlvr.advantages import group_center
    >>> mask_sign("negative")(r := Rollouts.of([[1.0, 0.0]]), group_center()(r)).adv
    tensor([[ 0.0000, -0.5000]])
    """

    sign: str = "negative"

    def __post_init__(self) -> None:
        require(self.sign in ("positive", "negative"), self, "sign must be 'positive' or 'negative'.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        adv = signal.adv
        return replace(signal, adv=adv.clamp(min=0.0) if self.sign == "positive" else adv.clamp(max=0.0))
