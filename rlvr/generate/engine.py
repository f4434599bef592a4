"""The in-process sampler: G completions for each of P prompts, from one policy.

Two paths give the same tokens (tests/test_engine.py): the fast one for the Llama family (llama.py, over packed
weights), and transformers' own forward for every other decoder (general.py). A model is taken by the fast path only
if `llama.misfit` finds no objection *and* its logits on the first prompts equal the model's own; else it says why not.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from rlvr.errors import ModelError
from rlvr.generate import general, llama
from rlvr.generate.cache import SlotCache
from rlvr.generate.rows import Rows
from rlvr.generate.sampler import Sampling
from rlvr.generate.weights import SamplingWeights, plain_weights

log = logging.getLogger(__name__)
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # of the logits' spread; lower precisions 5e-2


@dataclass(frozen=True)
class Samples:
    """P x G completions, prompt-major: token ids (end token included) and their log-probabilities in nats."""

    ids: list[list[int]]
    logps: list[list[float]]
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """How many tokens were sampled."""
        return sum(map(len, self.ids))


class Engine:
    """An in-process sampler for one policy; call `refresh` after the policy has changed.

    Args:
        policy: the model to sample from; it may go on being trained between calls.
        eos_ids: every token id that ends a completion.
        pad_id: any valid token id, to fill the left of short prompts.
        dtype: precision that samples; None samples with the policy's own weights.
        max_rows: at most this many sequences are decoded together; a row that ends makes room for a waiting one.
        fast: False keeps to transformers' own forward.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        eos_ids: Sequence[int],
        pad_id: int,
        dtype: torch.dtype | None = None,
        max_rows: int = 256,
        fast: bool = True,
    ):
        self.policy = policy
        self.eos_ids = list(eos_ids)
        self.pad_id = pad_id
        self.max_rows = max_rows
        base = policy.get_base_model() if hasattr(policy, "get_base_model") else policy
        self.config = base.config
        self._dtype = dtype
        self._fast: llama.LlamaForward | None = None
        self._loaded = self._trusted = False
        if fast and (why := llama.misfit(base)):
            log.warning("sampling with transformers' own forward: %s", why)
        elif fast:
            self._fast = llama.LlamaForward(base, dtype or next(policy.parameters()).dtype)
        self._general = None if self._fast else SamplingWeights(policy, dtype)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the policy's present weights (the first `generate` does so by itself)."""
        self._loaded = True
        if self._fast is not None:
            self._fast.refresh(plain_weights(self.policy))
        if self._general is not None:
            self._general.refresh()

    @property
    def path(self) -> str:
        """Which path samples: "fast" or "general"."""
        return "general" if self._fast is None else "fast"

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        group_size: int,
        sampling: Sampling,
        seed: int,
        *,
        first_row: int = 0,
    ) -> Samples:
        """Sample `group_size` completions for every prompt (token ids).

        Row r of the result draws its noise from (seed, first_row + r) alone: the same seed gives the same
        completions however the prompts are split into calls or batches (up to rounding of the logits).
        Raises ModelError when a prompt is empty or leaves no room in the model's context.
        """
        start = time.perf_counter()
        limit = getattr(self.config, "max_position_embeddings", None)
        for i, prompt in enumerate(prompts):
            if not prompt:
                raise ModelError(f"Prompt {i} has no tokens.")
            if limit and len(prompt) >= limit:
                raise ModelError(f"Prompt {i} has {len(prompt)} tokens; the model's context holds {limit}.")
        if not self._loaded:
            self.refresh()
        if self._fast is not None and not self._trusted:
            self._check(prompts[:2])
        total = len(prompts) * group_size
        if sampling.max_tokens < 1:
            return Samples([[] for _ in range(total)], [[] for _ in range(total)])
        noise_rows = torch.arange(total) + first_row
        if self._fast is not None:
            ids, logps = self._decode(self._fast, prompts, group_size, sampling, seed, noise_rows)
        else:
            ids, logps = self._decode_generally(prompts, group_size, sampling, seed, noise_rows)
        return Samples(ids, logps, time.perf_counter() - start)

    # ------------------------------------------------------------------ the general path

    def _decode_generally(self, *args):
        assert self._general is not None
        model = self._general.model
        was_training = model.training
        model.eval()
        try:
            return general.decode(model, *args, eos_ids=self.eos_ids, pad_id=self.pad_id, max_rows=self.max_rows)
        finally:
            model.train(was_training)

    # ------------------------------------------------------------------ the fast path

    def _check(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compare the fast path's logits, behind a prompt and behind one more token, with the model's own."""
        assert self._fast is not None
        fast, policy, device = self._fast, self.policy, next(self.policy.parameters()).device
        was_training = policy.training
        policy.eval()
        off: list[float] = []
        for prompt in prompts:
            ids = torch.tensor([list(prompt)], device=device)
            own = policy(input_ids=ids, use_cache=False).logits[0].float()
            cache = self._cache(1, ids.shape[1])
            last = ids.shape[1] - 1
            slots = torch.zeros(1, 1, dtype=torch.long, device=device)
            pairs = [(fast.prefill(ids, torch.tensor([last + 1], device=device), cache, slots)[0], own[last])]
            if last:  # the same, with the last token as a step of its own
                fast.prefill(ids[:, :last], torch.tensor([last], device=device), cache, slots)
                pairs.append((fast.step(ids[:, last], torch.tensor([last], device=device), cache)[0], own[last]))
            for ours, theirs in pairs:
                spread = theirs.std().item() + 1e-6
                off.append((ours.float() - theirs).abs().max().item() / spread)
        policy.train(was_training)
        self._trusted = True
        if not all(value <= _TOLERANCE.get(fast.dtype, 5e-2) for value in off):  # NaN fails too
            log.warning(
                "sampling with transformers' own forward: the fast path's logits are off by %.3g spreads for this %s",
                max(off),
                self.config.model_type,
            )
            self._fast, self._general = None, SamplingWeights(self.policy, self._dtype)

    def _cache(self, slots: int, columns: int) -> SlotCache:
        fast = self._fast
        assert fast is not None
        return SlotCache(fast.layers, slots, fast.kv_heads, fast.head_dim, columns, fast.dtype, fast.embed.device)

    def _decode(self, fast: llama.LlamaForward, prompts, group_size: int, sampling: Sampling, seed: int, noise_rows):
        """Decode all rows with continuous batching: live rows are the slots 0..n-1, and whole groups move in."""
        device, total = fast.embed.device, len(prompts) * group_size
        slots = min(max(self.max_rows, group_size), total)
        limit = getattr(self.config, "max_position_embeddings", None) or 2**30
        width = max(map(len, prompts))
        room = torch.tensor([min(sampling.max_tokens, limit - len(p)) for p in prompts], device=device)
        rows = Rows(room.repeat_interleave(group_size), noise_rows, self.eos_ids, sampling, seed)
        cache = self._cache(slots, width + min(int(room.max()), 256))
        prompt_length = torch.tensor([len(p) for p in prompts], device=device)
        row = torch.empty(0, dtype=torch.long, device=device)  # which completion the slot decodes
        token = torch.empty(0, dtype=torch.long, device=device)  # its newest token, not yet in the cache
        waiting = 0  # the first prompt that has not started

        while waiting < len(prompts) or len(row):
            free = (slots - len(row)) // group_size
            if waiting < len(prompts) and (free * group_size * 4 >= slots or not len(row)):
                some = range(waiting, min(len(prompts), waiting + max(1, free)))
                waiting = some.stop
                fresh = torch.arange(some.start * group_size, some.stop * group_size, device=device)
                inside = torch.arange(len(row), len(row) + len(fresh), device=device)
                longest_now = max(len(prompts[i]) for i in some)
                ids = [list(prompts[i]) + [self.pad_id] * (longest_now - len(prompts[i])) for i in some]
                logits = fast.prefill(
                    torch.tensor(ids, device=device),
                    prompt_length[some.start : some.stop],
                    cache,
                    inside.view(-1, group_size),
                )
                new, goes_on = rows.take(fresh, logits.repeat_interleave(group_size, 0))
                row, token = torch.cat([row, fresh]), torch.cat([token, new])
                live = torch.cat([torch.ones(len(row) - len(fresh), dtype=torch.bool, device=device), goes_on])
            else:
                position = prompt_length[row // group_size] + rows.length[row] - 1
                token, live = rows.take(row, fast.step(token, position, cache))
            if not live.all():  # the last live rows move into the slots of those which have ended
                n = int(live.sum())
                hole, mover = (~live[:n]).nonzero()[:, 0], n + live[n:].nonzero()[:, 0]
                cache.move(mover, hole, cache.kv.shape[4])
                row[hole], token[hole] = row[mover], token[mover]
                row, token = row[:n], token[:n]
        return rows.lists()
