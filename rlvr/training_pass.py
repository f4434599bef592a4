"""TrainingPass(GRPOTrainer): TRL's loss over a cheaper forward, the same to rounding (tests/test_trl_contract.py).

Thin wraps, never a copied method:

    _compute_loss                         rows without signal are left out of the forward
    _get_per_token_logps_and_entropies    each prompt is computed once for its group; the head at scored tokens only;
                                          old log-probabilities are the sampler's where these are exact
"""

from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from trl import GRPOTrainer
from trl.kernels.chunked_logprob import _use_triton

from rlvr.config import TrainConfig
from rlvr.head import add_scores, can_score
from rlvr.packing import pack
from rlvr.shared_attention import share_prompts


class TrainingPass(GRPOTrainer):
    """GRPOTrainer whose log-probabilities cost what carries signal: see TrainConfig.pack_prompts, skip_silent_rows."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._sampled_logps: list[list[float]] | None = None  # of the rollouts being scored, where they are exact
        self._silent_B: Tensor | None = None
        self._old_logps: Tensor | None = None
        super().__init__(*args, **kwargs)
        # TRL's fused head is a Triton kernel where there is Triton; elsewhere ours does less (rlvr/head.py).
        self._own_head = (
            can_score(self.model.config)
            and not self.args.cast_lm_head_to_fp32
            and not _use_triton(self.accelerator.device)
        )
        models = [model for model in (self.model, self.ref_model) if model is not None]
        self._shared = getattr(self.args, "pack_prompts", False) and all(map(share_prompts, models))
        for model in models if self._own_head else ():
            add_scores(model.get_base_model() if isinstance(model, PeftModel) else model, self.temperature)

    def _compute_loss(self, model, inputs):
        self._silent_B, self._old_logps = self._without_signal(inputs), inputs.get("old_per_token_logps")
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._silent_B = self._old_logps = None

    def _without_signal(self, inputs) -> Tensor | None:
        """Which rows add exactly zero to loss and gradient, so that they need no forward; None where that is unsure."""
        args = self.args
        if (
            not (getattr(args, "skip_silent_rows", False) and self.model.training)
            or self.beta
            or self._entropy_bonus_enabled
            or self.aux_loss_enabled
            or self.off_policy_mask_threshold is not None
            or self.top_entropy_quantile < 1.0
            or "pixel_values" in inputs
        ):
            return None
        adv = inputs["advantages"]
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        silent_B = ~((adv if adv.dim() == 2 else adv[:, None]).ne(0) & mask.bool()).any(1)
        if silent_B.all():
            silent_B[0] = False  # the graph must reach the weights
        self._metrics["train"]["rows_skipped"].append(silent_B.float().mean().item())
        return silent_B if silent_B.any() else None

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **kwargs
    ):
        if self._sampled_logps is not None and not compute_entropy:  # the old log-probabilities: known already
            known = pad_sequence([torch.tensor(row) for row in self._sampled_logps], batch_first=True)
            known = torch.nn.functional.pad(known, (0, logits_to_keep - known.shape[1]))
            return known.to(input_ids.device), None, None
        special = any(v is not None and v is not False for v in kwargs.values())  # images, router losses
        if special or not isinstance(self.args, TrainConfig):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **kwargs
            )
        silent_B = torch.zeros(len(input_ids), dtype=torch.bool) if self._silent_B is None else self._silent_B
        rows = (~silent_B).nonzero()[:, 0].to(input_ids.device)
        ids, mask = input_ids[rows], attention_mask[rows]
        parts = [
            self._score_rows(model, i, m, logits_to_keep)
            for i, m in zip(ids.split(batch_size or len(ids)), mask.split(batch_size or len(ids)), strict=True)
        ]
        logps, entropies = (torch.cat(values) for values in zip(*parts, strict=True))
        if self._silent_B is not None:
            # A skipped row gets its old log-probabilities (a ratio of 1) and the mean entropy of the others.
            scored = attention_mask[rows][:, -logits_to_keep:].bool()
            whole = logps.new_zeros(len(input_ids), logits_to_keep)
            if self._old_logps is not None:
                whole = whole + self._old_logps
            logps = whole.index_put((rows,), logps)
            fill = entropies.new_full(logps.shape, entropies[scored].mean().item())
            entropies = fill.index_put((rows,), entropies)
        return logps, entropies if compute_entropy else None, None

    def _score_rows(self, model, input_ids, attention_mask, width: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies (rows, width) of the last `width` tokens; 0 where there is no token."""
        shape = (len(input_ids), width)
        prompt, completion = input_ids[:, :-width], input_ids[:, -width:]
        prompt_mask, completion_mask = attention_mask[:, :-width], attention_mask[:, -width:]
        if self._shared:
            packed = pack(prompt, prompt_mask, completion, completion_mask)
            inputs, labels, where = packed.model_inputs, packed.labels_1L, packed.where
        else:
            labels = input_ids.masked_fill(attention_mask == 0, -100)
            labels[:, :-width] = -100
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            where = completion_mask.bool().nonzero(as_tuple=True)
        with self.accelerator.autocast():
            if self._own_head:
                scores = model(**inputs, labels=labels, scores=True)
            else:
                out = model(**inputs, labels=labels, fused_lm_head=True)
                scores = (out.log_probs[out.label_mask], out.entropy[out.label_mask])
        log_probs, entropy = (v.new_zeros(shape).index_put(where, v) for v in scores)
        return log_probs, entropy
