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
from rlvr.models.sampling.trust import cache_objection, objection
from rlvr.models.sampling.weights import SamplingWeights, plain_weights

log = logging.getLogger(__name__)
Prompts = Sequence[Sequence[int]]


class Source(Protocol):
    """Give logits: from one model, or several that are combined (rlvr/models/sampling/steered.py)."""

    context: int | None  # positions, in tokens; None is unlimited

    @property
    def path(self) -> str:
        """Return which path computes the logits: "fast", "general" or "generate"."""
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

    def settle(self, prompts: Prompts) -> None:
        """Choose the path once and for all, by what it gives on the first of `prompts`."""
        ...

    @contextmanager
    def reading(self, prompts: Prompts, pad_id: int, slots: int, room: int) -> Iterator[Reader]:
        """Open a reader of `prompts` with so many slots, and room for so many tokens after each prompt."""
        ...


def room_after(prompts: Prompts, context: int | None) -> list[int]:
    """Return how many tokens a context (None: unlimited) has room for after each prompt; ModelError where none.

    >>> room_after([[5, 6], [7]], 8)
    [6, 7]
    """
    for i, prompt in enumerate(prompts):
        if not prompt:
            raise ModelError(f"Prompt {i} has no tokens.")
        if context and len(prompt) >= context:
            raise ModelError(f"Prompt {i} has {len(prompt)} tokens; the model's context holds {context}.")
    return [(context or 2**30) - len(prompt) for prompt in prompts]


class ModelSource:
    """Give one policy's logits, by the quickest path that is proven right for it.

    The fast path takes a model only if `llama.misfit` finds no objection; else transformers' own forward reads it with
    a cache, and what keeps no such cache is left to transformers' own generate. The first two are taken at their word
    only if their logits on the first prompts are the model's own up to rounding (trust.py). What is not taken is said.
    """

    def __init__(self, policy: PreTrainedModel, dtype: torch.dtype | None, fast: bool, by_generate: bool = False):
        self.policy = policy
        self._dtype = dtype
        base = without_adapters(policy)
        self._type = base.config.model_type
        self.context = getattr(base.config, "max_position_embeddings", None)
        self._fast: llama.LlamaForward | None = None
        self._loaded, self._settled, self._by_generate = False, by_generate, by_generate
        if fast and not by_generate and (why := llama.misfit(base)):
            log.warning("sampling with transformers' own forward: %s", why)
        elif fast and not by_generate:
            self._fast = llama.LlamaForward(base, dtype or next(policy.parameters()).dtype)
        self._general = None if self._fast else SamplingWeights(policy, dtype)

    @property
    def path(self) -> str:
        """Return which path computes the logits: "fast", "general" or "generate"."""
        return "generate" if self._by_generate else "general" if self._fast is None else "fast"

    @property
    def device(self) -> torch.device:
        """Return the policy's device."""
        return next(self.policy.parameters()).device

    @property
    def sampler(self) -> torch.nn.Module:
        """Return the model whose own forward samples, where the fast path does not: the policy, or its copy."""
        assert self._general is not None
        return self._general.model

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the policy's present weights (the first `settle` does so by itself)."""
        self._loaded = True
        if self._fast is not None:
            self._fast.refresh(plain_weights(self.policy))
        if self._general is not None:
            self._general.refresh()

    def room(self, prompts: Prompts) -> list[int]:
        """Return how many tokens the context has room for after each prompt."""
        return room_after(prompts, self.context)

    def settle(self, prompts: Prompts) -> None:
        """Choose the path once and for all, and say what was not trusted on the first prompts."""
        if not self._loaded:
            self.refresh()
        if self._settled:
            return
        self._settled = True
        with evaluating(self.policy):
            if self._fast is not None and (why := objection(self.policy, self._fast, prompts[:2])):
                log.warning("sampling with transformers' own forward: %s for this %s", why, self._type)
                self._fast, self._general = None, SamplingWeights(self.policy, self._dtype)
            if self._fast is None and (why := cache_objection(self.policy, prompts[:2])):
                log.warning("sampling with transformers' own generate: %s for this %s", why, self._type)
                self._by_generate = True

    @contextmanager
    def reading(self, prompts: Prompts, pad_id: int, slots: int, room: int) -> Iterator[Reader]:
        """Open a reader; the policy is in evaluation mode meanwhile."""
        self.settle(prompts)
        with evaluating(self.policy):
            if self._fast is not None:
                yield SlotReader(self._fast, prompts, pad_id, slots, room)
            else:
                yield PaddedReader(self.sampler, prompts, pad_id)
