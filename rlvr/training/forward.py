"""Score completions by a cheaper forward than TRL's, the same to rounding (tests/test_trl_contract.py).

Each prompt is computed once for its group, without padding; the head at scored tokens only; rows without signal not
at all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rlvr.models.forward.head import add_scores, can_score
from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import share_prompts
from rlvr.models.load import without_adapters


@dataclass
class Forward:
    """Score the completion tokens of a batch.

    Args:
        packed: the models attend over packed groups, each prompt once (`share_prompts`).
        chunked_head: the models have a head that scores in chunks (`add_scores`); else transformers' fused one is used.
        autocast: the context of a forward in mixed precision.
    """

    packed: bool = False
    chunked_head: bool = False
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    silent_B: Tensor | None = field(default=None, init=False)
    old_logps: Tensor | None = field(default=None, init=False)

    @classmethod
    def of(
        cls,
        models: Sequence[PreTrainedModel],
        *,
        pack_prompts: bool,
        fused_head: bool,
        temperature: float,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> "Forward":
        """Prepare the policy and its reference; what a model cannot do stays as transformers does it.

        `fused_head` keeps transformers' own head: a Triton kernel where there is Triton; elsewhere ours does less.
        """
        chunked = can_score(models[0].config) and not fused_head
        packed = pack_prompts and all(map(share_prompts, models))
        for model in models if chunked else ():
            add_scores(without_adapters(model), temperature)
        return cls(packed, chunked, autocast)

    @contextmanager
    def without(self, silent_B: Tensor | None, old_logps: Tensor | None) -> Iterator[None]:
        """Leave these rows of the micro-batch out of the forward; they score as they did when they were sampled."""
        self.silent_B, self.old_logps = silent_B, old_logps
        try:
            yield
        finally:
            self.silent_B = self.old_logps = None

    def score(
        self, model: nn.Module, input_ids: Tensor, attention_mask: Tensor, width: int, batch_size: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and entropies (B, width) of the last `width` tokens, in nats.

        A row that is left out gets its old log-probabilities (a ratio of 1) and the mean entropy of the others.
        """
        silent_B = torch.zeros(len(input_ids), dtype=torch.bool) if self.silent_B is None else self.silent_B
        rows = (~silent_B).nonzero()[:, 0].to(input_ids.device)
        ids, mask = input_ids[rows], attention_mask[rows]
        parts = [
            self.score_rows(model, i, m, width)
            for i, m in zip(ids.split(batch_size or len(ids)), mask.split(batch_size or len(ids)), strict=True)
        ]
        logps, entropies = (torch.cat(values) for values in zip(*parts, strict=True))
        if self.silent_B is not None:
            scored = attention_mask[rows][:, -width:].bool()
            whole = logps.new_zeros(len(input_ids), width)
            if self.old_logps is not None:
                whole = whole + self.old_logps
            logps = whole.index_put((rows,), logps)
            fill = entropies.new_full(logps.shape, entropies[scored].mean().item())
            entropies = fill.index_put((rows,), entropies)
        return logps, entropies

    def score_rows(self, model: nn.Module, input_ids: Tensor, attention_mask: Tensor, width: int) -> tuple[Tensor, ...]:
        """Return log-probabilities and entropies (B, width) of the last `width` tokens; 0 where no token is."""
        shape = (len(input_ids), width)
        inputs, labels, where = self.layout(input_ids, attention_mask, width)
        with self.autocast():
            if self.chunked_head:
                scores = model(**inputs, labels=labels, scores=True)
            else:
                out = model(**inputs, labels=labels, fused_lm_head=True)
                scores = (out.log_probs[out.label_mask], out.entropy[out.label_mask])
        return tuple(values.new_zeros(shape).index_put(where, values) for values in scores)

    def layout(
        self, input_ids: Tensor, attention_mask: Tensor, width: int
    ) -> tuple[dict[str, Any], Tensor, tuple[Tensor, ...]]:
        """Return what the model gets, labels at the completion tokens, and each one's row and column in the batch."""
        prompt, completion = input_ids[:, :-width], input_ids[:, -width:]
        prompt_mask, completion_mask = attention_mask[:, :-width], attention_mask[:, -width:]
        if self.packed:
            packed = pack(prompt, prompt_mask, completion, completion_mask)
            return packed.model_inputs, packed.labels_1L, packed.where
        labels = input_ids.masked_fill(attention_mask == 0, -100)
        labels[:, :-width] = -100
        where = completion_mask.bool().nonzero(as_tuple=True)
        return {"input_ids": input_ids, "attention_mask": attention_mask}, labels, where


def silent_rows(inputs: Mapping[str, Any]) -> Tensor:
    """Return which rows (B,) of a micro-batch carry no credit at a token of the loss.

    Where the loss has no other term they add exactly zero to it and to its gradient. One row always stays, so that the
    graph reaches the weights.

    >>> silent_rows({"advantages": torch.tensor([0.0, 1.0, 2.0]), "completion_mask": torch.tensor([[1], [1], [0]])})
    tensor([ True, False,  True])
    """
    adv, mask = inputs["advantages"], inputs["completion_mask"] * inputs.get("tool_mask", 1)
    silent_B = ~((adv if adv.dim() == 2 else adv[:, None]).ne(0) & mask.bool()).any(1)
    if silent_B.all():
        silent_B[0] = False
    return silent_B


def padded(rows: Sequence[Sequence[float]], width: int) -> Tensor:
    """Return rows of different lengths as a tensor (rows, width), 0 after each one's end.

    >>> padded([[1.0], [2.0, 3.0]], 3)
    tensor([[1., 0., 0.],
            [2., 3., 0.]])
    """
    known = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return nn.functional.pad(known, (0, width - known.shape[1]))
