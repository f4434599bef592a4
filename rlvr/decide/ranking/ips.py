"""Baseline: weigh choices by the inverse of the chance that their place was looked at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from rlvr.core.errors import DataError, SpecError
from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.pal import PALRanker


@dataclass(kw_only=True, eq=False, repr=False)
class IPSRanker(Ranker):
    """Regress chosen / P(seen) on x by squared error: unbiased for P(chosen | seen, x) if P(seen) is right.

    (p - c/s)^2 equals the inverse-propensity estimate c/s (1 - p)^2 + (1 - c/s) p^2 up to a constant, and unlike the
    same with logarithms it is bounded below.

    Args:
        examination: P(seen) at the log's positions in ascending order; None estimates it first, with `PALRanker` on
            the same log (the likelihood that regression-EM climbs), scaled so that the largest is 1.
        floor: smallest P(seen) used: less variance for some bias.
        others: see `Ranker`.

    Source: 1608.04468; estimation as in doi 10.1145/3159652.3159732.
    """

    examination: Sequence[float] | None = None
    floor: float = 0.05

    def position_curve(self) -> dict[Any, float] | None:
        """Return position -> ln P(seen) that was used, relative to the first position."""
        if self.examination is None:
            return self.pal_.position_curve()
        return {p: math.log(s / self.examination[0]) for p, s in zip(self.positions_, self.examination, strict=True)}

    def fit(self, X: ArrayLike, y: Mapping[str, ArrayLike], bias: Mapping[str, ArrayLike]) -> "IPSRanker":
        """Fit as `Ranker.fit` does, after P(seen) where it is to be estimated; SpecError where it cannot be one."""
        if not 0 < self.floor <= 1:
            raise SpecError(f"floor must be in (0, 1], found {self.floor}.")
        if "chosen" not in y:
            raise DataError("Inverse propensities need the objective 'chosen'; it has no labels here.")
        if self.examination is None:
            params = {name: getattr(self, name) for name in PALRanker().get_params()} | {"weights": None}
            self.pal_ = PALRanker(**params).fit(X, {"chosen": y["chosen"]}, bias)
        elif not all(0 < s <= 1 for s in self.examination):
            raise SpecError(f"examination must hold probabilities in (0, 1], found {list(self.examination)}.")
        super().fit(X, y, bias)
        return self

    def _bias_net(self, sizes: list[int], codes: Tensor) -> nn.Module:
        if self.examination is None:
            seen_N = torch.sigmoid(self.pal_.bias_net_(codes)).detach()
            self.largest_ = float(seen_N.max())
        elif len(self.examination) != len(self.positions_):
            raise SpecError(
                f"examination needs one value for each of the {len(self.positions_)} positions of the log, "
                f"found {len(self.examination)}."
            )
        return nn.Identity()

    def _chosen_loss(self, logit_B: Tensor, chosen_B: Tensor, codes_B: Tensor) -> Tensor:
        if self.examination is None:
            seen_B = torch.sigmoid(self.pal_.bias_net_(codes_B)).detach() / self.largest_
        else:
            position_B = codes_B[:, list(self.categories_).index("position")]
            seen_B = torch.tensor([1.0, *self.examination])[position_B]  # missing: taken at its word
        return (torch.sigmoid(logit_B) - chosen_B / seen_B.clamp(min=self.floor)) ** 2
