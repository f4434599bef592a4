"""Deal problems in a second, seeded order, for batches that need more than the training sampler gave them."""

from collections.abc import Collection

import torch


class FreshProblems:
    """Deal problems from one shuffled pass over the set after another; `position` is all there is to checkpoint.

    Its order is another: dealing from it leaves the order of the training problems as it is.

    >>> fresh = FreshProblems(3, seed=0)
    >>> sorted(fresh.take(2, exclude={1}))
    [0, 2]
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed, self.position = size, seed, 0

    def take(self, count: int, exclude: Collection[int] = ()) -> list[int]:
        """Return the next `count` distinct indices outside `exclude`, fewer where the set has no more.

        One that is passed over waits for the next pass.
        """
        count = min(count, self.size - len(set(exclude)))
        chosen: dict[int, None] = {}  # an ordered set
        while len(chosen) < count:
            epoch, start = divmod(self.position, self.size)
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            for index in torch.randperm(self.size, generator=generator)[start:].tolist():
                self.position += 1
                if index not in exclude:
                    chosen[index] = None
                if len(chosen) == count:
                    break
        return list(chosen)
