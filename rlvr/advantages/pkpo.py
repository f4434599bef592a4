"""Credit for the best of k with rewards of any value: what a completion raises the maximum by."""

from dataclasses import dataclass, replace
from math import comb

import torch

from rlvr.advantages.base import Transform, all_equal, require, require_one_credit_each
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class pkpo(Transform):
    """Compute PKPO's estimator, leave-one-out-minus-one baseline (2505.15201), over the n kept completions.

    A_i = 1 / C(n, k) * sum over k-subsets I that hold i of [max of I - max of I without i]. With rewards sorted
    upwards, g_1 <= ... <= g_n, only smaller ones count: A_i = sum_{j < i} C(j-1, k-2) (g_i - g_j) / C(n, k).

    Never negative, and not centred: a completion that beats nobody gets 0. Takes the incoming credit (the reward, if
    it stands first) as g. Groups with fewer than k kept completions get 0. k starts at 2 and is usually lowered
    during training; larger k looks for rare, high rewards.

    >>> pkpo(k=2)(Rollouts.of([[1.0, 0.0, 0.0, 0.0]])).adv  # 3 of 6 pairs hold it, each gains 1
    tensor([[0.5000, 0.0000, 0.0000, 0.0000]])
    """

    k: int = 4

    def __post_init__(self) -> None:
        require(isinstance(self.k, int) and self.k >= 2, self, "k must be a whole number of at least 2.")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        require_one_credit_each(self, signal)
        adv = torch.zeros_like(signal.adv)
        silent_P = all_equal(signal.adv, signal.keep_PG)[:, 0].tolist()
        for p, keep in enumerate(signal.keep_PG):
            n = int(keep.sum())
            if n < self.k or silent_P[p]:
                continue
            g, order = signal.adv[p, keep].double().sort()
            # Python divides whole numbers of any size exactly; as floats or int64 they would overflow from n = 128 on.
            share = [comb(j, self.k - 2) / comb(n, self.k) for j in range(n)]
            weight = torch.tensor(share, dtype=torch.double, device=g.device)
            # sum over j < i of w_j (g_i - g_j), as running sums over the sorted rewards
            gain = g * (weight.cumsum(0) - weight) - ((weight * g).cumsum(0) - weight * g)
            mine = torch.empty_like(gain)
            mine[order] = gain.clamp(min=0)
            adv[p, keep] = mine.to(adv.dtype)
        return replace(signal, adv=adv)
