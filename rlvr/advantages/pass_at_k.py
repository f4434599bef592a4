"""Credit for pass@k: what a completion adds to the chance that k of the group hold a right one."""

from dataclasses import dataclass, replace
from math import comb
from typing import ClassVar

import torch

from rlvr.advantages.base import Transform, require, require_one_credit_each
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class pass_at_k(Transform):
    """Compute pass@k training's analytic advantage (2508.10751), over the n kept completions, c of them right.

    Every k-subset is a group reward of 1 if it holds a right completion: mean rho = 1 - C(n-c, k) / C(n, k), standard
    deviation s = sqrt(rho (1 - rho)). A completion gets the mean of (reward - rho) / s over the subsets that hold it:

        right:  (1 - rho) / s
        wrong:  (1 - rho - C(n-c-1, k-1) / C(n-1, k-1)) / s

    0 where every subset scores the same: c = 0, c > n - k (all subsets hold a right one), or fewer than k are kept.
    So a problem that is solved more often than n - k times of n gives no signal. Reads `correct`; replaces the
    advantage. k = 1 is the standardised reward (ddof 0).

    >>> pass_at_k(k=2)(Rollouts.of([[1.0, 0.0, 0.0, 0.0]])).adv.round(decimals=4)  # rho = 1/2, s = 1/2
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333]])
    """

    reads_verdicts: ClassVar[bool] = True
    k: int = 4

    def __post_init__(self) -> None:
        require(isinstance(self.k, int) and self.k >= 1, self, "k must be a whole number of at least 1.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        require_one_credit_each(self, signal)
        keep, k = signal.keep_PG, self.k
        right = rollouts.correct_PG & keep
        credit_P2 = []  # of a wrong and of a right completion
        for n, c in zip(keep.sum(1).tolist(), right.sum(1).tolist(), strict=True):
            if c == 0 or n - c < k:
                credit_P2.append((0.0, 0.0))
                continue
            all_wrong = comb(n - c, k) / comb(n, k)
            spread = (all_wrong * (1 - all_wrong)) ** 0.5
            others_wrong = comb(n - c - 1, k - 1) / comb(n - 1, k - 1)
            credit_P2.append(((all_wrong - others_wrong) / spread, all_wrong / spread))
        credit = torch.tensor(credit_P2, dtype=torch.float32, device=signal.adv.device).view(-1, 2)
        return replace(signal, adv=torch.where(right, credit[:, 1:], credit[:, :1]) * keep)
