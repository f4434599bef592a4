"""Samples G completions for each of P prompts with transformers' own model and cache.

Right for any decoder that transformers can load. Each distinct prompt is prefilled once and its cache is
shared among its G completions; finished sequences leave the batch as they end.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rlvr.errors import ModelError
from rlvr.generate.sampler import draw, row_uniforms
from rlvr.generate.weights import SamplingWeights


@dataclass(frozen=True)
class Sampling:
    """How to sample: temperature (0 is greedy), nucleus and top-k truncation, and the length limit in tokens."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


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
    """An in-process sampler for one policy.

    Args:
        policy: the model to sample from; it may go on being trained between calls.
        eos_ids: every token id that ends a completion.
        pad_id: any valid token id, to fill the left of short prompts.
        dtype: precision that samples; None samples with the policy's own weights.
        max_rows: at most this many sequences are decoded together.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        eos_ids: Sequence[int],
        pad_id: int,
        dtype: torch.dtype | None = None,
        max_rows: int = 256,
    ):
        self.weights = SamplingWeights(policy, dtype)
        self.eos_ids = list(eos_ids)
        self.pad_id = pad_id
        self.max_rows = max_rows

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
        model = self.weights.model
        limit = getattr(model.config, "max_position_embeddings", None)
        for i, prompt in enumerate(prompts):
            if not prompt:
                raise ModelError(f"Prompt {i} has no tokens.")
            if limit and len(prompt) >= limit:
                raise ModelError(f"Prompt {i} has {len(prompt)} tokens; the model's context holds {limit}.")
        was_training = model.training
        model.eval()
        ids: list[list[int]] = []
        logps: list[list[float]] = []
        block = max(1, self.max_rows // group_size)
        try:
            for i in range(0, len(prompts), block):
                rows = torch.arange(len(prompts[i : i + block]) * group_size) + first_row + i * group_size
                some = self._decode(model, prompts[i : i + block], group_size, sampling, seed, rows)
                ids += some[0]
                logps += some[1]
        finally:
            model.train(was_training)
        return Samples(ids, logps, time.perf_counter() - start)

    def _decode(self, model, prompts, group_size: int, sampling: Sampling, seed: int, noise_rows: Tensor):
        device = next(model.parameters()).device
        width = max(map(len, prompts))
        longest = sampling.max_tokens
        if limit := getattr(model.config, "max_position_embeddings", None):
            longest = min(longest, limit - width)
        input_ids = torch.tensor([[self.pad_id] * (width - len(p)) + list(p) for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        cache = DynamicCache(config=model.config)
        logits = self._forward(model, input_ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache)

        # One row per completion from here on: (P * G, ...), groups contiguous.
        cache.batch_repeat_interleave(group_size)
        logits = logits.repeat_interleave(group_size, 0)
        mask = mask.repeat_interleave(group_size, 0)
        position = mask.sum(-1, keepdim=True)
        total = len(prompts) * group_size
        all_ids = torch.zeros(total, longest, dtype=torch.long, device=device)
        all_logps = torch.zeros(total, longest, device=device)
        length = torch.zeros(total, dtype=torch.long, device=device)
        eos = torch.tensor(self.eos_ids, device=device)
        noise_rows = noise_rows.to(device)
        row = torch.arange(total, device=device)  # which completion each batch row is
        live = torch.ones(total, dtype=torch.bool, device=device)  # rows which have not ended
        for step in range(longest):
            token, logp = draw(
                logits,
                row_uniforms(seed, noise_rows[row], step),
                sampling.temperature,
                sampling.top_k,
                sampling.top_p,
            )
            all_ids[row, step] = token
            all_logps[row, step] = logp
            length[row] += live
            live = live & ~torch.isin(token, eos)
            n_live = int(live.sum())
            if n_live == 0 or step == longest - 1:
                break
            if n_live <= 0.8 * len(row):  # re-packing copies the cache, so not at every ending
                kept = live.nonzero()[:, 0]
                cache.batch_select_indices(kept)
                row, token, mask, position, live = (
                    row[kept],
                    token[kept],
                    mask[kept],
                    position[kept],
                    live[kept],
                )
            mask = torch.cat([mask, mask.new_ones(len(row), 1)], -1)
            logits = self._forward(model, token[:, None], mask, position, cache)
            position = position + 1
        ends = length.tolist()
        ids = [r[:n] for r, n in zip(all_ids.tolist(), ends, strict=True)]
        logps = [r[:n] for r, n in zip(all_logps.tolist(), ends, strict=True)]
        return ids, logps

    @staticmethod
    def _forward(model, input_ids: Tensor, mask: Tensor, position: Tensor, cache: DynamicCache) -> Tensor:
        out = model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]
