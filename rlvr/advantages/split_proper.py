"""Credit in two parts, the confidence by a proper score: what it learns to state is the chance of being right."""

from dataclasses import dataclass
from typing import ClassVar

from rlvr.advantages.base import Transform, above_others, is_number, require
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.advantages.split_confidence import spread_over_tokens


@dataclass(frozen=True)
class split_proper(Transform):
    """Credit answer and confidence apart, (P, G, T), each by what the others of its group achieved.

        tokens before the confidence tag:  y_i - mean of the others' y                   y = 1 if right, else 0
        from the confidence tag on:        weight * (s_i - mean of the others' s)        s_i = -1/2 (q_i - t_i)^2

    The target t_i is the completion's own outcome y_i (target="own"), or how many of the *other* completions of the
    group are right (target="group"), which has less noise where answers to one problem are alike. The expected gradient
    on the confidence is that of -weight/2 E (q - t)^2, whose best q is the mean of t: the chance of being right.
    `split_confidence` (DCPO) has an absolute distance, which is best at the median, and divides by the spread, which
    weighs rare outcomes more. Nothing is divided here; a group that is all right still teaches its confidence.

    Reads `correct` and the confidence; replaces the incoming advantage. Others are the kept ones (for s, those that
    state a confidence); who has none gets 0. A completion without a readable confidence has the first credit on all its
    tokens. `weight=0` leaves the confidence to a loss of its own (`brier_coef`). (The proper score is Brier's, as in
    2507.16806; crediting its tokens apart is 2603.09117.)

    >>> rollouts = Rollouts.of([[1.0, 0.0]], confidence_PG=[[0.9, 0.9]], tokens_PG=[[3, 3]], split_PG=[[2, 2]])
    >>> split_proper()(rollouts).adv.round(decimals=2)  # -1/2 (0.9 - 1)^2 = -0.005 against -1/2 0.9^2 = -0.405
    tensor([[[ 1.0000,  1.0000,  0.4000],
             [-1.0000, -1.0000, -0.4000]]])
    """

    reads_verdicts: ClassVar[bool] = True
    target: str = "own"
    weight: float = 1.0

    def __post_init__(self) -> None:
        require(self.target in ("own", "group"), self, "target must be 'own' or 'group'.")
        require(is_number(self.weight) and self.weight >= 0, self, "weight must be at least 0.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        keep = signal.keep_PG
        right = rollouts.correct_PG.float()
        answer = above_others(right, keep)
        stated = keep & rollouts.confidence_PG.isfinite()
        target = right
        if self.target == "group":
            others = keep.sum(1, keepdim=True) - keep.long()
            target = ((right * keep).sum(1, keepdim=True) - right * keep) / others.clamp(min=1)
            stated = stated & (others > 0)
        score = -0.5 * (rollouts.confidence_PG.nan_to_num(0.0) - target).square()
        return spread_over_tokens(answer, self.weight * above_others(score, stated), stated, rollouts, signal)
