"""Compose transforms: a chain of transforms is itself a transform."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlvr.advantages.base import Transform
from rlvr.advantages.drop_zero_signal import drop_zero_signal
from rlvr.advantages.group_center import group_center
from rlvr.advantages.keep_sign import keep_negative, keep_positive
from rlvr.advantages.leave_one_out import leave_one_out
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.advantages.signed import signed
from rlvr.core.console import warn_once
from rlvr.core.errors import SpecError


@dataclass(frozen=True, init=False, repr=False)
class chain(Transform):
    """Apply transforms from left to right; chains inside chains are flattened (no paper; after optax.chain).

    Warns once, when it is built, about steps that together do not mean what they seem to (see `clash`).

    >>> chain(signed(), chain(keep_positive()))
    chain(signed(), keep_positive())
    """

    transforms: tuple[Transform, ...]

    def __init__(self, *transforms: Transform):
        flat: list[Transform] = []
        for step in transforms:
            if not isinstance(step, Transform):
                raise SpecError(f"chain takes transforms, got {step!r}. Write them as calls: group_center().")
            flat.extend(step.transforms if isinstance(step, chain) else [step])
        object.__setattr__(self, "transforms", tuple(flat))
        inner = [clash(step.transforms) for step in transforms if isinstance(step, chain)]
        message = clash(flat)
        if message and message not in inner:  # an inner chain has warned already
            warn_once(message)

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        for transform in self.transforms:
            signal = transform(rollouts, signal)
        return signal

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.transforms))})"


def verdict_readers(transform: Transform) -> list[Transform]:
    """Return the steps of a transform that read which completions are right, and so need a source of verdicts.

    >>> verdict_readers(chain(signed(), keep_positive()))
    [signed(), keep_positive()]
    """
    steps = transform.transforms if isinstance(transform, chain) else (transform,)
    return [step for step in steps if step.reads_verdicts]


def clash(steps: Sequence[Transform]) -> str | None:
    """Return why some of these steps do not mean what they seem to together, or None.

    >>> clash([signed(), keep_negative()])
    >>> clash([group_center(), signed()])
    'signed() comes after group_center() and replaces its result: take one of the two out.'
    """
    baseline: Transform | None = None
    for step in steps:
        if baseline and isinstance(step, keep_negative | keep_positive):
            return (
                f"{step} comes after {baseline}: after centring, groups that are all wrong or all right "
                "have zero credit already, so this is not the paper's positive / negative reinforcement "
                "(2506.01347), which is uncentred. Use psr, nsr or w_reinforce; or mask_sign, for one sign "
                "of a centred credit."
            )
        if baseline and isinstance(step, signed):
            return f"{step} comes after {baseline} and replaces its result: take one of the two out."
        if isinstance(step, group_center | leave_one_out):
            baseline = step
    for step in steps:
        if isinstance(step, drop_zero_signal) and any(isinstance(other, signed) for other in steps):
            return (
                f"{step} drops groups of equal rewards, but with signed() these carry full credit (and "
                "after keep_positive() or keep_negative() that may be every group). Take it out."
            )
    return None
