"""Drop the problems that the model almost never solves, lucky success included."""

from dataclasses import dataclass

from rlvr.advantages.base import Transform, require
from rlvr.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class drop_near_impossible(Transform):
    """Drop a group when its problem's posterior pass rate (s + a) / (n + a + b) is below `threshold` (2605.28388).

    A statement about a *problem*: s successes in n attempts come from the pass-rate record (a profile, then what
    training saw) as it was before this batch, with a Beta(a, b) prior. The current group does not count: a filter
    that looked at the outcome it filters would keep exactly the lucky successes, whose standardised advantage is
    sqrt(G - 1). With the default prior an unseen problem stands at 0.5 and stays; 0 of 16 stands at 0.029 and goes.
    Dropped groups leave the loss and its normaliser; nothing is sampled again. Reads `correct`, never the reward.

    >>> lucky = Rollouts.of([[1.0] + 7 * [0.0]], attempts_P=[16], successes_P=[0])
    >>> drop_near_impossible()(lucky).keep_PG.any()
    tensor(False)
    """

    threshold: float = 0.05
    prior: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        require(0 < self.threshold < 1, self, "threshold must lie between 0 and 1.")
        require(len(self.prior) == 2 and min(self.prior) > 0, self, "prior must be two positive numbers (a, b).")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        a, b = self.prior
        rate_P = (rollouts.successes_P + a) / (rollouts.attempts_P + a + b)
        return signal.drop("drop_near_impossible", (rate_P < self.threshold)[:, None].expand_as(signal.keep_PG))
