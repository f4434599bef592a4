"""Compare the gradients of two halves of a batch: how much of an update is signal, and how much is noise.

Let g1 and g2 be the gradients of two halves of a batch, S the squared length of the expected gradient, and V the
variance of one half. The cosine of g1 and g2 is near S / (S + V), and V falls as 1 / completions: near 0 the update
is sampling noise, near 1 more completions would change nothing. TRL shuffles completions before it splits them, so
the halves share problems, and what is compared is the noise of the samples rather than that of the choice of problems:
with few problems in an update the cosine flatters (docs/metrics.md).
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from rlvr.training.health import FIRST

EVERY = 10  # updates; after the first ones, which say most, one in ten is enough to see the cosine fall


def half_cosine(first: Iterable[Tensor | None], total: Iterable[Tensor | None]) -> float:
    """Return the cosine between `first` and `total - first`, all tensors taken as one vector; NaN where one is 0.

    None stands for a gradient of 0. The device is read once.

    >>> half_cosine([torch.tensor([1.0, 0.0])], [torch.tensor([2.0, 1.0])])  # (1, 0) and (1, 1)
    0.7071067690849304
    """
    products = []
    for one, both in zip(first, total, strict=True):
        if both is not None:
            a = torch.zeros_like(both) if one is None else one
            b = both - a
            products.append(torch.stack([(x * y).sum(dtype=torch.float32) for x, y in ((a, b), (a, a), (b, b))]))
    if not products:
        return torch.nan
    between, square, other = torch.stack([p.to(products[0].device) for p in products]).sum(0)
    return (between / (square.sqrt() * other.sqrt())).item()


def measured(update: int) -> bool:
    """Return whether the halves are compared at this update, counted from 1.

    >>> [update for update in range(1, 41) if measured(update)]
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40]
    """
    return update <= FIRST or update % EVERY == 0


class HalfGradients:
    """Log `health/gradient_cosine` at the measured updates that have two micro-batches or more, before clipping.

    It keeps one copy of the gradient from the middle of such an update to its end, and nothing between updates. It
    measures nothing unless `whole`: processes that add up or shard their gradients have none of one half.
    """

    def __init__(self, log: Callable[[str, float], None], whole: bool = True):
        self.log, self.whole = log, whole
        self.micro_batches = 0
        self.first: list[Tensor | None] | None = None

    def after_backward(self, model: nn.Module, update: int, accumulated: int) -> None:
        """Take note of the gradient after each backward pass of an update that has `accumulated` of them."""
        self.micro_batches += 1
        if self.whole and accumulated > 1 and measured(update):
            if self.micro_batches == accumulated // 2:
                self.first = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
            if self.micro_batches == accumulated and self.first is not None:
                self.log("health/gradient_cosine", half_cosine(self.first, [p.grad for p in model.parameters()]))
        if self.micro_batches >= accumulated:
            self.micro_batches, self.first = 0, None
