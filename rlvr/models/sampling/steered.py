"""Sample from three models as one: a base, moved by what tuning did to a smaller model (proxy-tuning, 2401.08565)."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.core.errors import ModelError, SpecError
from rlvr.models.sampling.reader import Reader
from rlvr.models.sampling.source import ModelSource, Prompts


def steer(base_BV: Tensor, expert_BV: Tensor, antiexpert_BV: Tensor, alpha: float) -> Tensor:
    """Return base + alpha (expert - antiexpert) in float32, before temperature and top-p; logits (B, V).

    Where an embedding matrix is padded, the widths differ: columns beyond the narrowest stand for no shared token and
    are cut off. alpha 0 gives the base; with base = antiexpert, alpha 1 gives the expert. Source: 2401.08565.

    >>> steer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0, 9.0]]), torch.tensor([[1.0, 1.0]]), 0.5)
    tensor([[2.0000, 1.5000]])
    """
    vocab = min(logits.shape[-1] for logits in (base_BV, expert_BV, antiexpert_BV))
    base, expert, antiexpert = (logits[:, :vocab].float() for logits in (base_BV, expert_BV, antiexpert_BV))
    return base + alpha * (expert - antiexpert)


@dataclass
class Steered:
    """Hold a base policy steered by a tuned model (expert) and the same model untuned (antiexpert).

    Args:
        alpha: how far to go: 0 is the base, 1 the paper's value; it may be changed between calls of `generate`.
        expert_prompt: turns a prompt's token ids into those that the expert reads (a chat form, say); None: the same.

    Raises SpecError when alpha is not a finite number.
    """

    base: PreTrainedModel
    expert: PreTrainedModel
    antiexpert: PreTrainedModel
    alpha: float = 1.0
    expert_prompt: Callable[[Sequence[int]], Sequence[int]] | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    @property
    def device(self) -> torch.device:
        """Return the base's device."""
        return self.base.device


def check_alpha(alpha: float) -> None:
    """Raise SpecError unless alpha is a finite number."""
    if not math.isfinite(alpha):
        raise SpecError(f"alpha must be a finite number (0 is the base, 1 the paper's value), got {alpha}.")


class SteeredSource:
    """Give the steered logits of three sources with three caches; see `Source`."""

    def __init__(self, steered: Steered, dtype: torch.dtype | None, fast: bool):
        self.steered = steered
        models = (steered.base, steered.expert, steered.antiexpert)
        self._parts = [ModelSource(model, dtype, fast) for model in models]
        self.context = min((part.context for part in self._parts if part.context), default=None)

    @property
    def path(self) -> str:
        """Return which path computes the logits: "fast" only if it does for all three."""
        return "fast" if all(part.path == "fast" for part in self._parts) else "general"

    @property
    def device(self) -> torch.device:
        """Return the base's device."""
        return self._parts[0].device

    def refresh(self) -> None:
        """Copy the present weights of all three."""
        for part in self._parts:
            part.refresh()

    def room(self, prompts: Prompts) -> list[int]:
        """Return how many tokens all three have room for after each prompt."""
        rooms = [part.room(its_prompts) for part, its_prompts in zip(self._parts, self._prompts(prompts), strict=True)]
        return [min(tokens) for tokens in zip(*rooms, strict=True)]

    def settle(self, prompts: Prompts) -> None:
        """Choose each one's path; ModelError where one can only be read by transformers' own generate."""
        for part, its_prompts in zip(self._parts, self._prompts(prompts), strict=True):
            part.settle(its_prompts)
            if part.path == "generate":
                raise ModelError(
                    f"{type(part.policy).__name__} keeps no cache that three models could read in step, so it cannot "
                    "be steered or steer. Choose models whose forward takes past_key_values."
                )

    @contextmanager
    def reading(self, prompts: Prompts, pad_id: int, slots: int, room: int) -> Iterator[Reader]:
        """Open three readers as one."""
        with ExitStack() as stack:
            opened = [
                stack.enter_context(part.reading(its_prompts, pad_id, slots, room))
                for part, its_prompts in zip(self._parts, self._prompts(prompts), strict=True)
            ]
            yield SteeredReader(opened, self.steered)

    def _prompts(self, prompts: Prompts) -> list[Prompts]:
        rewrite = self.steered.expert_prompt
        return [prompts, prompts if rewrite is None else [rewrite(p) for p in prompts], prompts]


class SteeredReader:
    """Read the same rows with three models; see `Reader`."""

    def __init__(self, readers: Sequence[Reader], steered: Steered):
        self._readers, self._steered = readers, steered
        self.refills = all(reader.refills for reader in readers)

    def prefill(self, some: range, slots_PG: Tensor) -> Tensor:
        """Combine the logits after the prompts."""
        return self._combine([reader.prefill(some, slots_PG) for reader in self._readers])

    def step(self, token_B: Tensor) -> Tensor:
        """Combine the logits after one more token."""
        return self._combine([reader.step(token_B) for reader in self._readers])

    def keep(self, slot_N: Tensor) -> None:
        """Move the rows of all three."""
        for reader in self._readers:
            reader.keep(slot_N)

    def _combine(self, logits: list[Tensor]) -> Tensor:
        base, expert, antiexpert = logits
        return steer(base, expert, antiexpert, self._steered.alpha)
