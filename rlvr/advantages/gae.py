"""Credit per token: how much better each token made things than a critic expected."""

from dataclasses import dataclass, replace

import torch

from rlvr.advantages.base import Transform, is_number, require, require_one_credit_each
from rlvr.advantages.rollouts import Rollouts, Signal


@dataclass(frozen=True)
class gae(Transform):
    """Credit each token by generalised advantage estimation (1506.02438), n tokens a completion, (P, G, T).

    A_t = sum_{l >= 0} (gamma lam)^l d_{t+l},  d_t = r_t + gamma V_{t+1} - V_t,  V_n = 0

    The incoming credit c (the reward, if it stands first) is paid with the last token, cut off or not: r_{n-1} = c, all
    others 0. V_t is what the critic expects before token t; without a critic it is 0. Also sets the critic's target,
    `returns_PGT` = A_t + V_t. Closed forms, for the k = n - 1 - t tokens that follow:

        no critic     A_t = (gamma lam)^k c        so c itself at gamma = lam = 1
        lam = 1       A_t = gamma^k c - V_t        unbiased whatever the critic says: the default
        lam = 0       A_t = d_t                    Q - V when the critic is exact
        V_t = gamma^k c                            0 at any lam: nothing was unexpected

    lam below 1 trades that for less variance; early in training it also hides the reward from the first tokens.

    >>> gae()(Rollouts.of([[1.0, 0.0]], tokens_PG=[[3, 2]], values_PGT=[[[0.5, 0.5, 0.75], [0.5, 0.25, 0.0]]])).adv
    tensor([[[ 0.5000,  0.5000,  0.2500],
             [-0.5000, -0.2500,  0.0000]]])
    """

    gamma: float = 1.0
    lam: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("gamma", self.gamma), ("lam", self.lam)):
            require(is_number(value) and 0 <= value <= 1, self, f"{name} must lie in [0, 1].")

    def apply(self, rollouts: Rollouts, signal: Signal) -> Signal:
        require_one_credit_each(self, signal)
        n_PG1, values = rollouts.tokens_PG[..., None], rollouts.values_PGT
        width = int(n_PG1.max().clamp(min=1)) if values is None else values.shape[-1]
        position = torch.arange(width, device=n_PG1.device)
        inside = position < n_PG1
        values = torch.zeros(inside.shape, device=n_PG1.device) if values is None else values.where(inside, 0.0)
        reward = signal.adv[..., None] * (position == n_PG1 - 1)
        following = torch.nn.functional.pad(values[..., 1:], (0, 1))
        surprise = reward + self.gamma * following - values  # 0 after the end: nothing flows back from there
        adv, sum_PG = torch.zeros_like(surprise), torch.zeros_like(signal.adv)
        for t in reversed(range(width)):
            sum_PG = surprise[..., t] + self.gamma * self.lam * sum_PG
            adv[..., t] = sum_PG
        keep = signal.keep_PG[..., None]
        return replace(signal, adv=adv * keep, returns_PGT=(adv + values) * keep)
