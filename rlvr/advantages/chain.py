"""Composition: a chain of transforms is itself a transform."""

import warnings

from rlvr.advantages.base import Transform, require
from rlvr.advantages.group_center import group_center
from rlvr.advantages.keep_sign import keep_negative, keep_positive
from rlvr.advantages.leave_one_out import leave_one_out
from rlvr.advantages.signed import signed
from rlvr.rollouts import Rollouts, Signal


class chain(Transform):
    """Apply transforms from left to right; chains inside chains are flattened (own; after optax.chain).

    Warns when a sign is selected behind a baseline without `signed()`: an all-wrong group has lost its credit by
    then, so that is not the negative reinforcement of 2506.01347.

    >>> chain(group_center(), chain(keep_positive()))
    chain(group_center(), keep_positive())
    """

    def __init__(self, *transforms: Transform):
        require(all(isinstance(t, Transform) for t in transforms), self, f"every step must be a transform: {transforms}.")
        flat = [s for t in transforms for s in (t.transforms if isinstance(t, chain) else (t,))]
        self.transforms: tuple[Transform, ...] = tuple(flat)
        baseline = False
        for step in flat:
            baseline = baseline and not isinstance(step, signed)
            if baseline and isinstance(step, keep_negative | keep_positive):
                warnings.warn(
                    f"{step!r} stands behind a baseline in {self!r}: after centring an all-wrong group already has zero "
                    "credit, so this is not the paper's positive / negative reinforcement (2506.01347), which is "
                    "uncentred. Use psr, nsr or w_reinforce, or mask_sign if you mean this.",
                    stacklevel=2,
                )
            baseline = baseline or isinstance(step, group_center | leave_one_out)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        for transform in self.transforms:
            signal = transform(rollouts, signal)
        return signal

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, getattr(self, 'transforms', ())))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, chain) and self.transforms == other.transforms

    def __hash__(self) -> int:
        return hash(self.transforms)
