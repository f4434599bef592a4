"""Score completions by a cheaper forward than TRL's, the same to rounding (tests/test_trl_contract.py).

Each prompt is computed once for its group, without padding; the head at scored tokens only; rows without signal not
at all.
"""

import logging
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
from rlvr.models.load import evaluating, without_adapters

log = logging.getLogger(__name__)


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
        whole: bool = True,
    ) -> "Forward":
        """Prepare the policy and its reference; what a model cannot do stays as transformers does it, and is said.

        `fused_head` keeps transformers' own head: a Triton kernel where there is Triton; elsewhere ours does less.
        `whole`: this process holds all weights, so that packing can be proven on a few tokens before it is used.
        """
        chunked = can_score(models[0].config) and not fused_head
        for model in models if chunked else ():
            add_scores(without_adapters(model), temperature)
        forward = cls(pack_prompts and all(map(share_prompts, models)), chunked, autocast)
        kind = without_adapters(models[0]).config.model_type
        if pack_prompts and not forward.packed:
            log.warning("training reads each prompt with every completion: %s has other layers than full SDPA", kind)
        if whole and forward.packed and (why := forward.objection(models[0], temperature)):
            log.warning("training reads each prompt with every completion: shared, for this %s %s", kind, why)
            forward.packed = False
        if whole and forward.chunked_head and (why := forward.objection(models[0], temperature)):
            log.warning(
                "training computes logits by the fused head of transformers: in chunks, for this %s %s", kind, why
            )
            forward.chunked_head = False
        return forward

    @torch.no_grad()
    def objection(self, model: PreTrainedModel, temperature: float) -> str | None:
        """Return why `score_rows` does not give a model's own log-probabilities, None where it does, on a few tokens.

        In float32 they must agree to a thousandth of a nat; in a lower precision, where rounding alone is more, to a
        tenth in the mean.
        """
        device, vocab = model.device, model.config.get_text_config().vocab_size
        ids = (torch.arange(64, device=device).view(4, 16) * 7 + 3) % vocab  # six tokens of prompt, ten of completion
        ids[1, :6], ids[3, :6] = ids[0, :6], ids[2, :6]
        mask = torch.ones_like(ids)
        mask[2:, :2], mask[1::2, 12:] = 0, 0
        with evaluating(model):
            try:
                scored = self.score_rows(model, ids, mask, 10)[0]
            except (AttributeError, TypeError, ValueError, RuntimeError) as error:
                return f"that fails ({type(error).__name__}: {str(error).splitlines()[0]})"
            off = []
            for row, row_mask in enumerate(mask.bool()):
                whole, n = ids[row][row_mask][None], int(row_mask[6:].sum())
                with self.autocast():
                    logits = model(input_ids=whole, use_cache=False).logits[0, :-1].float() / temperature
                log_probs = logits.log_softmax(-1).gather(1, whole[0, 1:, None])[-n:, 0]
                off.append((scored[row, :n] - log_probs).abs())
        with self.autocast():
            low = torch.is_autocast_enabled(device.type) or model.dtype not in (torch.float32, torch.float64)
        differences = torch.cat(off)
        ok, worst = (0.1, differences.mean().item()) if low else (1e-3, differences.max().item())
        return None if worst <= ok else f"the log-probabilities are off by {worst:.3g} nats"

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
