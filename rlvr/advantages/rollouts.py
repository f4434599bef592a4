"""Rollouts of shape (P, G) and their signal: what the advantage transforms read and write.

Axes, here and as suffixes everywhere: P prompts, G completions per prompt, T tokens, F reward terms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from rlvr.core.records import Completion, Problem

__all__ = ["Completion", "Problem", "Rollouts", "Signal"]


@dataclass(frozen=True)
class Rollouts:
    """Hold a batch of P groups of G completions, as tensors, for the advantage transforms.

    `reward_PG` is the weighted sum of the terms, NaN where no term applied; `terms_PGF` holds each term (NaN: does not
    apply) and `weights_F` their weights. `correct_PG` is what sign rules and difficulty filters read; `scored_PG` is
    False where the verifier failed or no term applied. `attempts_P` and `successes_P` are the pass-rate record of each
    problem *before* this batch. `confidence_PG` is the stated confidence (NaN: none); `tokens_PG` counts the tokens of
    a completion, and the first `split_PG` of them stand before its confidence tag (all of them where there is none).
    `values_PGT` is what a critic expected before each token (None: no critic).
    """

    reward_PG: Tensor
    correct_PG: Tensor
    scored_PG: Tensor
    truncated_PG: Tensor
    attempts_P: Tensor
    successes_P: Tensor
    confidence_PG: Tensor
    tokens_PG: Tensor
    split_PG: Tensor
    terms_PGF: Tensor
    weights_F: Tensor
    ids: tuple[str, ...] = ()
    values_PGT: Tensor | None = None

    @staticmethod
    def of(
        reward_PG: Any,
        correct_PG: Any = None,
        *,
        truncated_PG: Any = None,
        attempts_P: Any = None,
        successes_P: Any = None,
        scored_PG: Any = None,
        confidence_PG: Any = None,
        tokens_PG: Any = None,
        split_PG: Any = None,
        terms_PGF: Any = None,
        weights_F: Any = None,
        ids: tuple[str, ...] | None = None,
        values_PGT: Any = None,
    ) -> "Rollouts":
        """Build rollouts from nested lists; `correct_PG` defaults to `reward_PG > 0`, lengths to one token.

        The reward is the only term, with weight 1, unless `terms_PGF` and `weights_F` are given.

        >>> Rollouts.of([[1.0, 0.0]]).correct_PG
        tensor([[ True, False]])
        """
        reward = torch.as_tensor(reward_PG, dtype=torch.float32)
        zeros = torch.zeros(reward.shape[0])
        tokens = torch.ones_like(reward).long() if tokens_PG is None else torch.as_tensor(tokens_PG).long()
        terms = reward[..., None] if terms_PGF is None else torch.as_tensor(terms_PGF, dtype=torch.float32)
        weights = torch.ones(terms.shape[-1]) if weights_F is None else torch.as_tensor(weights_F, dtype=torch.float32)
        scored = ~reward.isnan() if scored_PG is None else torch.as_tensor(scored_PG).bool()
        return Rollouts(
            reward_PG=reward,
            correct_PG=(reward > 0) if correct_PG is None else torch.as_tensor(correct_PG).bool(),
            scored_PG=scored & ~reward.isnan(),
            truncated_PG=torch.zeros_like(reward).bool()
            if truncated_PG is None
            else torch.as_tensor(truncated_PG).bool(),
            attempts_P=zeros if attempts_P is None else torch.as_tensor(attempts_P, dtype=torch.float32),
            successes_P=zeros if successes_P is None else torch.as_tensor(successes_P, dtype=torch.float32),
            confidence_PG=torch.full_like(reward, torch.nan)
            if confidence_PG is None
            else torch.as_tensor(confidence_PG, dtype=torch.float32),
            tokens_PG=tokens,
            split_PG=tokens if split_PG is None else torch.as_tensor(split_PG).long(),
            terms_PGF=terms,
            weights_F=weights,
            ids=tuple(f"p{i}" for i in range(reward.shape[0])) if ids is None else ids,
            values_PGT=None if values_PGT is None else torch.as_tensor(values_PGT, dtype=torch.float32),
        )


@dataclass(frozen=True)
class Signal:
    """Hold what the loss gets: an advantage per completion (or token) and whether the completion takes part.

    Attributes:
        adv: advantages of shape (P, G), or (P, G, T) for per-token credit.
        keep_PG: False leaves the loss *and* its normaliser.
        dropped: transform name -> (P, G) mask of the completions which that transform removed.
        returns_PGT: what a critic is to predict before each token; None where no transform says so.
    """

    adv: Tensor
    keep_PG: Tensor
    dropped: Mapping[str, Tensor] = field(default_factory=dict)
    returns_PGT: Tensor | None = None

    @staticmethod
    def start(rollouts: Rollouts) -> "Signal":
        """Return the signal before any transform: the reward itself; completions without a score are dropped."""
        keep = rollouts.scored_PG
        return Signal(
            adv=rollouts.reward_PG.nan_to_num(0.0) * keep,
            keep_PG=keep,
            dropped={} if bool(keep.all()) else {"unscored": ~keep},
        )

    def drop(self, name: str, mask_PG: Tensor) -> "Signal":
        """Return the signal with the completions of `mask_PG` removed (credit 0, keep False) by `name`."""
        new = mask_PG & self.keep_PG
        if not bool(new.any()):
            return self
        keep = self.keep_PG & ~new
        shape = keep.shape + (1,) * (self.adv.dim() - 2)
        before = self.dropped.get(name)  # a chain may hold the same filter twice
        dropped = {**self.dropped, name: new if before is None else before | new}
        return replace(self, adv=self.adv * keep.view(shape), keep_PG=keep, dropped=dropped)
