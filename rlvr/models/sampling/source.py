"""The model that samples: which path reads it, and its weights, copied from a policy that may go on changing."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from transformers import PreTrainedModel

from rlvr.core.errors import ModelError
from rlvr.models.load import evaluating, without_adapters
from rlvr.models.sampling import llama
from rlvr.models.sampling.general import PaddedReader
from rlvr.models.sampling.reader import Reader, SlotReader
from rlvr.models.sampling.trust import objection
from rlvr.models.sampling.weights import SamplingWeights, plain_weights

log = logging.getLogger(__name__)
Prompts = Sequence[Sequence[int]]


class Source(Protocol):
    """Give logits: from one model, or several that are combined (rlvr/models/sampling/steered.py)."""

    context: int | None  # positions, in tokens; None is unlimited

    @property
    def path(self) -> str:
        """Return which path computes the logits: "fast" or "general"."""
        ...

    @property
    def device(self) -> torch.device:
        """Return the device of the logits."""
        ...

    def refresh(self) -> None:
        """Copy the present weights."""
        ...

    def room(self, prompts: Prompts) -> list[int]:
        """Return how many tokens the context has room for after each prompt; ModelError where there is none."""
        ...

    @contextmanager
    def reading(self, prompts: Prompts, pad_id: int, slots: int, room: int) -> Iterator[Reader]:
        """Open a reader of `prompts` with so many slots, and room for so many tokens after each prompt."""
        ...


class ModelSource:
    """Give one policy's logits, by the fast path if that is proven right for it, else by transformers' own forward.

    A model is taken by the fast path only if `llama.misfit` finds no objection *and* its logits on the first prompts
    are the model's own up to rounding (trust.py); else it says why not.
    """

    def __init__(self, policy: PreTrainedModel, dtype: torch.dtype | None, fast: bool):
        self.policy = policy
        self._dtype = dtype
        base = without_adapters(policy)
        self._type = base.config.model_type
        self.context = getattr(base.config, "max_position_embeddings", None)
        self._fast: llama.LlamaForward | None = None
        self._loaded = self._trusted = False
        if fast and (why := llama.misfit(base)):
            log.warning("sampling with transformers' own forward: %s", why)
        elif fast:
            self._fast = llama.LlamaForward(base, dtype or next(policy.parameters()).dtype)
        self._general = None if self._fast else SamplingWeights(policy, dtype)

    @property
    def path(self) -> str:
        """Return which path computes the logits: "fast" or "general"."""
        return "general" if self._fast is None else "fast"

    @property
    def device(self) -> torch.device:
        """Return the policy's device."""
        return next(self.policy.parameters()).device

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the policy's present weights (the first reader does so by itself)."""
        self._loaded = True
        if self._fast is not None:
            self._fast.refresh(plain_weights(self.policy))
        if self._general is not None:
            self._general.refresh()

    def room(self, prompts: Prompts) -> list[int]:
        """Return how many tokens the context has room for after each prompt."""
        for i, prompt in enumerate(prompts):
            if not prompt:
                raise ModelError(f"Prompt {i} has no tokens.")
            if self.context and len(prompt) >= self.context:
                raise ModelError(f"Prompt {i} has {len(prompt)} tokens; the model's context holds {self.context}.")
        return [(self.context or 2**30) - len(prompt) for prompt in prompts]

    @contextmanager
    def reading(self, prompts: Prompts, pad_id: int, slots: int, room: int) -> Iterator[Reader]:
        """Open a reader; the policy is in evaluation mode meanwhile."""
        with evaluating(self.policy):
            if not self._loaded:
                self.refresh()
            if self._fast is not None and not self._trusted:
                self._check(prompts[:2])
            if self._fast is not None:
                yield SlotReader(self._fast, prompts, pad_id, slots, room)
            else:
                assert self._general is not None
                yield PaddedReader(self._general.model, prompts, pad_id)

    def _check(self, prompts: Prompts) -> None:
        """Go back to transformers' own forward, and say so, unless the fast path is proven right on `prompts`."""
        assert self._fast is not None
        self._trusted = True
        if why := objection(self.policy, self._fast, prompts):
            log.warning("sampling with transformers' own forward: %s for this %s", why, self._type)
            self._fast, self._general = None, SamplingWeights(self.policy, self._dtype)
