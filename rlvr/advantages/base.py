"""The base class of every advantage transform, a frozen value that maps (rollouts, signal) to a signal."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.errors import SpecError

TOLERANCE = 1e-6  # rewards of one group that span at most this are equal


class Transform(ABC):
    """Map rollouts and a signal to a new signal: the base class of every step and chain.

    Subclasses are frozen dataclasses with a lower-case name: the class is its own factory, its `repr` is its
    constructor; equality, hash and pickle come for free. Wrong parameters raise SpecError when it is built.

    Attributes:
        reads_verdicts: whether it looks at what is right (`correct_PG`, or the pass rates that come of it). A trainer
            that has only rewards refuses such a step: a reward above 0 does not say that a completion is right.
    """

    reads_verdicts: ClassVar[bool] = False

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


def is_number(value: Any) -> bool:
    """Return whether a parameter is a finite number (True and False are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def require_divisor(transform: Transform, eps: Any, ddof: Any) -> None:
    """Raise SpecError unless `eps` and `ddof` make a divisor std(ddof) + eps that is never 0."""
    require(is_number(eps) and eps > 0, transform, "eps must be above 0, or equal rewards divide by 0.")
    require(ddof in (0, 1), transform, "ddof must be 0 (population) or 1 (sample).")


def require_one_credit_each(transform: Transform, signal: Signal) -> None:
    """Raise SpecError for a signal per token: token t of one completion is no baseline for token t of another."""
    message = "needs one advantage per completion. Put it before the step that spreads credit over tokens."
    require(signal.adv.dim() == 2, transform, message)


def over_tokens(values_PG: Tensor, signal: Signal) -> Tensor:
    """Return (P, G) or (P, 1) values in a shape that also broadcasts against a per-token signal (P, G, T)."""
    return values_PG.reshape(values_PG.shape + (1,) * (signal.adv.dim() - 2))


def kept_mean(values_PG: Tensor, keep_PG: Tensor, dim: int | tuple[int, int] = 1) -> Tensor:
    """Return the mean over the kept of each group, (P, 1), or of the batch (dim 0 and 1); 0 if none is."""
    return (values_PG * keep_PG).sum(dim, keepdim=True) / keep_PG.sum(dim, keepdim=True).clamp(min=1)


def all_equal(
    values_PG: Tensor, keep_PG: Tensor, dim: int | tuple[int, int] = 1, tolerance: float = TOLERANCE
) -> Tensor:
    """Return whether the kept of each group, (P, 1), or of the batch (dim 0 and 1) are all equal; True if none is kept.

    The same means: they span at most `tolerance`, or at most four rounding steps of the largest, which is what a sum of
    the same terms in another order leaves. Whatever compares completions asks this first, so that a constant reward
    gives exactly 0: the rounding of its mean is no signal, but eps would divide it and Adam would amplify it.

    >>> all_equal(torch.tensor([[0.7, 0.7], [1e6, 1e6 + 0.0625], [1.0, 0.0]]), torch.ones(3, 2).bool()).tolist()
    [[True], [True], [False]]
    """
    highest = values_PG.masked_fill(~keep_PG, -torch.inf).amax(dim, keepdim=True)
    lowest = values_PG.masked_fill(~keep_PG, torch.inf).amin(dim, keepdim=True)
    spread, steps = highest - lowest, 4 * torch.finfo(values_PG.dtype).eps * torch.maximum(highest.abs(), lowest.abs())
    return (highest <= lowest) | ((spread <= steps.clamp(min=tolerance)) & spread.isfinite())


def kept_deviation(values_PG: Tensor, keep_PG: Tensor, dim: int | tuple[int, int] = 1) -> Tensor:
    """Return value minus mean over the kept of its group, or of the batch; exactly 0 where not kept or `all_equal`."""
    deviation = (values_PG - kept_mean(values_PG, keep_PG, dim)) * keep_PG
    return deviation.masked_fill(all_equal(values_PG, keep_PG, dim), 0.0)


def above_others(values_PG: Tensor, keep_PG: Tensor) -> Tensor:
    """Return value minus mean of the *other* kept of its group; exactly 0 where not kept, alone, or `all_equal`.

    >>> above_others(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[True, True, False]]))
    tensor([[ 1., -1.,  0.]])
    """
    count = keep_PG.sum(1, keepdim=True)
    others = ((values_PG * keep_PG).sum(1, keepdim=True) - values_PG) / (count - 1).clamp(min=1)
    return torch.where(keep_PG & ~all_equal(values_PG, keep_PG), values_PG - others, 0.0)


def kept_std(values_PG: Tensor, keep_PG: Tensor, ddof: int, dim: int | tuple[int, int] = 1) -> Tensor:
    """Return the standard deviation over the kept of each group, (P, 1), or of the batch for dim (0, 1).

    Infinite where at most `ddof` are kept: a spread that nobody can know is divided by, and leaves no credit.
    """
    count = keep_PG.sum(dim, keepdim=True)
    variance = kept_deviation(values_PG, keep_PG, dim).square().sum(dim, keepdim=True) / (count - ddof).clamp(min=1)
    return torch.where(count > ddof, variance.sqrt(), torch.inf)
