"""Draw the problems whose pass rate is worth training on, without locking out the others.

A problem is wanted when its posterior pass rate lies in a target band (the gain of a group grows with p (1 - p):
2504.03380 keeps 0.2 to 0.8). The pass rates that say so were read off the sampler's own past choices, so they are
biased: a problem that was unlucky at first would never be drawn again and never be seen to improve. Against that:
every problem keeps a probability of at least floor / N; old evidence fades (`PassRate.discount`); and every draw states
its probability, so that averages over draws can be turned into averages over the set (propensity.py).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlvr.core.errors import SpecError


def draw_probabilities(rate_N: Tensor, band: tuple[float, float], floor: float) -> Tensor:
    """Return the probability (N,) of each problem: (1 - floor) uniform over the band + floor uniform over all.

    With no problem in the band every one is equally likely. They sum to 1 and none is below floor / N.

    >>> draw_probabilities(torch.tensor([0.0, 0.5, 0.6, 1.0]), (0.2, 0.8), floor=0.2)
    tensor([0.0500, 0.4500, 0.4500, 0.0500], dtype=torch.float64)
    """
    wanted_N = ((rate_N >= band[0]) & (rate_N <= band[1])).double()
    if not wanted_N.any():
        wanted_N = torch.ones_like(wanted_N)
    return (1 - floor) * wanted_N / wanted_N.sum() + floor / len(rate_N)


@dataclass(frozen=True)
class DifficultySampler:
    """Draw problems with replacement by `draw_probabilities`; a draw depends on (seed, step, pass rates) alone.

    Args:
        band: lowest and highest posterior pass rate that is wanted.
        floor: share of the draws that ignores the band, in (0, 1]; 1 is uniform.
        seed: of the draws.

    Raises SpecError for a band outside [0, 1] or a floor outside (0, 1]: without a floor the loop locks in.
    """

    band: tuple[float, float]
    floor: float
    seed: int

    def __post_init__(self) -> None:
        if not (len(self.band) == 2 and 0 <= self.band[0] < self.band[1] <= 1):
            raise SpecError(f"difficulty_band takes two pass rates, low < high within [0, 1], got {list(self.band)}.")
        if not 0 < self.floor <= 1:
            raise SpecError(
                f"difficulty_floor must lie in (0, 1], got {self.floor}: with 0 a problem that was unlucky at first "
                "would never be drawn again."
            )

    def draw(self, rate_N: Tensor, count: int, step: int) -> tuple[Tensor, Tensor]:
        """Return `count` indices into the set and the probability of each draw, in (0, 1]."""
        p_N = draw_probabilities(rate_N, self.band, self.floor)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        index = torch.multinomial(p_N, count, replacement=True, generator=generator)
        return index, p_N[index]
