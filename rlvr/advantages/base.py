"""What every advantage transform is: a frozen value that maps (rollouts, signal) to a signal."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from rlvr.errors import SpecError
from rlvr.rollouts import Rollouts, Signal


class Transform(ABC):
    """One pure step from rollouts to credit.

    Subclasses are frozen dataclasses with a lower-case name: the class is its own factory, its `repr` is its
    constructor, and equality, hash and pickle come for free. Wrong parameters raise SpecError when it is built.
    """

    def __call__(self, rollouts: Rollouts, signal: Signal | None = None) -> Signal:
        """Return the new signal; without one, start from the reward itself."""
        return self.apply(rollouts, Signal.start(rollouts) if signal is None else signal)

    @abstractmethod
    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        """Return the new signal; neither argument is changed."""


def require(condition: bool, transform: Transform, message: str) -> None:
    """Raise SpecError about a parameter of `transform` unless `condition` holds."""
    if not condition:
        raise SpecError(f"{transform!r}: {message}")


def kept_mean(values_PG: Tensor, keep_PG: Tensor) -> Tensor:
    """Mean over the kept completions of each group, (P, 1); 0 for a group without any."""
    return (values_PG * keep_PG).sum(1, keepdim=True) / keep_PG.sum(1, keepdim=True).clamp(min=1)


def kept_std(values_PG: Tensor, keep_PG: Tensor, ddof: int) -> Tensor:
    """Standard deviation over the kept completions of each group, (P, 1); 0 where fewer than ddof + 1 are kept."""
    count = keep_PG.sum(1, keepdim=True)
    deviation = (values_PG - kept_mean(values_PG, keep_PG)) * keep_PG
    variance = deviation.square().sum(1, keepdim=True) / (count - ddof).clamp(min=1)
    return torch.where(count > ddof, variance.sqrt(), torch.zeros_like(variance))
