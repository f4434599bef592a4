"""Drop the problems that the model almost never solves, lucky success included."""

from dataclasses import dataclass
from typing import ClassVar

from rlvr.advantages.base import Transform, is_number, require
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class drop_near_impossible(Transform):
    """Drop a group when its problem's posterior pass rate (s + a) / (n + a + b) is below `threshold`.

    A statement about a *problem* (after 2605.28388): s successes in n attempts come from the pass-rate
    record (a profile, then what training saw) as it was before this batch, with a Beta(a, b) prior. The
    current group does not count: a filter that looked at the outcome it filters would keep exactly the
    lucky successes, whose standardised advantage is sqrt(G - 1). The prior says how much evidence it takes:
    with the default one an unseen problem stands at 0.5, 0 of 8 at 0.056 (both stay), 0 of 16 at 0.029
    (goes). Where the record fades (`--record_discount`), a dropped problem returns once its evidence is old.

    Dropped groups leave the loss and its normaliser; nothing is sampled again. Reads `correct`, never the
    reward.

    >>> lucky = Rollouts.of([[1.0] + 7 * [0.0]], attempts_P=[16], successes_P=[0])
    >>> drop_near_impossible()(lucky).keep_PG.any()
    tensor(False)
    """

    reads_verdicts: ClassVar[bool] = True
    threshold: float = 0.05
    prior: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        inside = is_number(self.threshold) and 0 < self.threshold < 1
        require(inside, self, "threshold must be a pass rate between 0 and 1.")
        pair = isinstance(self.prior, tuple) and len(self.prior) == 2
        positive = pair and all(is_number(x) and x > 0 for x in self.prior)
        require(positive, self, "prior must be a tuple of two positive numbers, (a, b).")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        a, b = self.prior
        rate_P = (rollouts.successes_P + a) / (rollouts.attempts_P + a + b)
        hopeless_PG = (rate_P < self.threshold)[:, None].expand_as(signal.keep_PG)
        return signal.drop("drop_near_impossible", hopeless_PG)
