"""Sample G completions for each of P prompts from one policy, in this process.

Three paths give the same tokens (tests/test_engine.py, tests/test_architectures.py): the fast one for the Llama family
(llama.py, over packed weights), transformers' own forward and cache for other decoders (general.py), and transformers'
own generate for what keeps no such cache (by_generate.py); source.py chooses. A steered policy is three models whose
logits are combined before anything is drawn (steered.py). The loop below is the same for the first two.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.models.sampling.by_generate import generate_rows
from rlvr.models.sampling.rows import Rows
from rlvr.models.sampling.sampler import Sampling
from rlvr.models.sampling.source import ModelSource, Source
from rlvr.models.sampling.steered import Steered, SteeredSource


@dataclass(frozen=True)
class Samples:
    """Hold P x G completions, prompt-major: token ids (end token included) and their log-probabilities in nats.

    A completion whose log-probabilities are not known has none of them (vLLM cannot tell them in every case).
    """

    ids: list[list[int]]
    logps: list[list[float]]
    seconds: float = 0.0

    def logp(self, row: int) -> float | None:
        """Return the log-probability of a whole completion in nats, None where it is not known.

        >>> samples = Samples([[5, 2], [7]], [[-0.5, -0.25], []])
        >>> samples.logp(0), samples.logp(1)
        (-0.75, None)
        """
        return sum(self.logps[row]) if self.logps[row] or not self.ids[row] else None

    @property
    def tokens(self) -> int:
        """Return how many tokens were sampled."""
        return sum(map(len, self.ids))


class Engine:
    """Sample from one policy in this process; call `refresh` after the policy has changed.

    Args:
        policy: the model to sample from, or three that make a steered one; it may go on being trained between calls.
        eos_ids: every token id that ends a completion.
        pad_id: any valid token id, to fill the left of short prompts.
        dtype: precision that samples; None samples with the policy's own weights.
        max_rows: at most this many sequences are decoded together; a row that ends makes room for a waiting one.
        look_every: steps between looks at which rows have ended; None is 1 on a CPU, where a look costs nothing, and 8
            elsewhere, where each one waits for all that was asked of the device before. The tokens are the same.
        fast: False keeps to transformers' own forward.
        by_generate: True keeps to transformers' own generate (not for a steered policy).
    """

    def __init__(
        self,
        policy: PreTrainedModel | Steered,
        eos_ids: Sequence[int],
        pad_id: int,
        dtype: torch.dtype | None = None,
        max_rows: int = 256,
        fast: bool = True,
        by_generate: bool = False,
        look_every: int | None = None,
    ):
        self.source: Source = (
            SteeredSource(policy, dtype, fast)
            if isinstance(policy, Steered)
            else ModelSource(policy, dtype, fast, by_generate)
        )
        self.eos_ids = list(eos_ids)
        self.pad_id = pad_id
        self.max_rows = max_rows
        self.look_every = look_every or (1 if self.source.device.type == "cpu" else 8)

    def refresh(self) -> None:
        """Copy the policy's present weights (the first `generate` does so by itself)."""
        self.source.refresh()

    @property
    def path(self) -> str:
        """Return which path samples: "fast", "general" or "generate"; known for certain after the first call."""
        return self.source.path

    @property
    def context(self) -> int | None:
        """Return how many tokens a prompt and its completion may have together; None is unlimited."""
        return self.source.context

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
        room = [min(sampling.max_tokens, tokens) for tokens in self.source.room(prompts)]
        total = len(prompts) * group_size
        if total == 0 or sampling.max_tokens < 1:
            return Samples([[] for _ in range(total)], [[] for _ in range(total)])
        room_R = torch.tensor(room, device=self.source.device).repeat_interleave(group_size)
        rows = Rows(room_R, torch.arange(total) + first_row, self.eos_ids, sampling, seed)
        self.source.settle(prompts)
        if isinstance(self.source, ModelSource) and self.source.path == "generate":
            generate_rows(self.source.sampler, prompts, group_size, rows, self.pad_id, max(self.max_rows, group_size))
        else:
            self._decode(prompts, group_size, rows)
        return Samples(*rows.lists(), time.perf_counter() - start)

    def _decode(self, prompts: Sequence[Sequence[int]], group_size: int, rows: Rows) -> None:
        """Decode all rows with continuous batching: live rows are the slots 0..n-1, and whole groups move in."""
        device, total = self.source.device, len(prompts) * group_size
        slots = min(max(self.max_rows, group_size), total)
        row = torch.empty(0, dtype=torch.long, device=device)  # which completion the slot decodes
        token = torch.empty(0, dtype=torch.long, device=device)  # its newest token, not yet read
        live = torch.empty(0, dtype=torch.bool, device=device)  # whether it goes on
        waiting = steps = 0  # the first prompt that has not started; tokens since all slots were live

        with self.source.reading(prompts, self.pad_id, slots, int(rows.room.max())) as reader:
            while waiting < len(prompts) or len(row):
                free = (slots - len(row)) // group_size
                thin = not len(row) or (reader.refills and free * group_size * 4 >= slots)
                if waiting < len(prompts) and thin:
                    some = range(waiting, min(len(prompts), waiting + max(1, free)))
                    waiting = some.stop
                    fresh = torch.arange(some.start * group_size, some.stop * group_size, device=device)
                    inside = torch.arange(len(row), len(row) + len(fresh), device=device)
                    logits = reader.prefill(some, inside.view(-1, group_size))
                    new, goes_on = rows.take(fresh, logits.repeat_interleave(group_size, 0))
                    live = torch.cat([live, goes_on])
                    row, token = torch.cat([row, fresh]), torch.cat([token, new])
                else:
                    ended = live if steps else None  # some may have ended since the last look
                    token, live = rows.take(row, reader.step(token), ended)
                    steps += 1
                    if reader.refills and steps % self.look_every:
                        continue
                steps = 0
                if not live.all():
                    slot = _fill_holes(live)
                    reader.keep(slot)
                    row, token, live = row[slot], token[slot], live[slot]


def _fill_holes(live: Tensor) -> Tensor:
    """Return which slot each of the n live rows moves from: the last ones move into the slots of rows that ended.

    >>> _fill_holes(torch.tensor([True, False, True, False, True])).tolist()
    [0, 4, 2]
    """
    n = int(live.sum())
    slot = torch.arange(n, device=live.device)
    slot[~live[:n]] = n + live[n:].nonzero()[:, 0]
    return slot
