"""Compute TRL's loss over a cheaper forward, the same to rounding (tests/test_trl_contract.py).

Thin wraps, never a copied method:

    _compute_loss                         rows without signal are left out of the forward
                                          and the critic's loss is added, if there is one
    create_optimizer                      the critic's parameters are a group of it
    _save_checkpoint, _load_optimizer_and_scheduler     the critic's weights
    _get_per_token_logps_and_entropies    each prompt is computed once for its group; the head at scored tokens only;
                                          old log-probabilities are the sampler's where these are exact
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from trl import GRPOTrainer
from trl.kernels.chunked_logprob import _use_triton

from rlvr.config.settings import TrainConfig
from rlvr.models.forward.head import add_scores, can_score
from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import share_prompts
from rlvr.models.load import without_adapters
from rlvr.training.critic import Critic, CriticStep, explained_variance, value_loss


class TrainingPass(GRPOTrainer):
    """Compute GRPOTrainer's loss without padding and rows of no signal (TrainConfig.pack_prompts, skip_silent_rows)."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._sampled_logps: list[list[float]] | None = None  # of the rollouts being scored, where they are exact
        self._silent_B: Tensor | None = None
        self._old_logps: Tensor | None = None
        super().__init__(*args, **kwargs)
        # TRL's fused head is a Triton kernel where there is Triton; elsewhere ours does less (head.py).
        self._own_head = (
            can_score(self.model.config)
            and not self.args.cast_lm_head_to_fp32
            and not _use_triton(self.accelerator.device)
        )
        models = [model for model in (self.model, self.ref_model) if model is not None]
        self._shared = getattr(self.args, "pack_prompts", False) and all(map(share_prompts, models))
        for model in models if self._own_head else ():
            add_scores(without_adapters(model), self.temperature)
        self.critic: Critic | None = None
        if getattr(self.args, "critic", "none") != "none":
            self.critic = Critic(self.model, self.args.critic, self.args.critic_layers).to(self.accelerator.device)
            self.add_callback(CriticStep(self.critic, lambda name, value: self._metrics["train"][name].append(value)))

    def _compute_loss(self, model, inputs):
        loss = self._policy_loss(model, inputs)
        return loss if self.critic is None or not self.model.training else loss + self._critic_loss(self.critic, inputs)

    def _policy_loss(self, model, inputs):
        self._silent_B, self._old_logps = self._without_signal(inputs), inputs.get("old_per_token_logps")
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._silent_B = self._old_logps = None

    def _without_signal(self, inputs) -> Tensor | None:
        """Return which rows add exactly zero to loss and gradient, so need no forward; None where that is unsure."""
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
        """Return log-probabilities and entropies (rows, width) of the last `width` tokens; 0 where no token is."""
        shape = (len(input_ids), width)
        inputs, labels, where = self._layout(input_ids, attention_mask, width)
        with self.accelerator.autocast():
            if self._own_head:
                scores = model(**inputs, labels=labels, scores=True)
            else:
                out = model(**inputs, labels=labels, fused_lm_head=True)
                scores = (out.log_probs[out.label_mask], out.entropy[out.label_mask])
        log_probs, entropy = (v.new_zeros(shape).index_put(where, v) for v in scores)
        return log_probs, entropy

    def _layout(self, input_ids, attention_mask, width: int) -> tuple[dict[str, Any], Tensor, tuple[Tensor, Tensor]]:
        """Return what the model gets, labels at the completion tokens, and each one's row and column in the batch."""
        prompt, completion = input_ids[:, :-width], input_ids[:, -width:]
        prompt_mask, completion_mask = attention_mask[:, :-width], attention_mask[:, -width:]
        if self._shared:
            packed = pack(prompt, prompt_mask, completion, completion_mask)
            return packed.model_inputs, packed.labels_1L, packed.where
        labels = input_ids.masked_fill(attention_mask == 0, -100)
        labels[:, :-width] = -100
        where = completion_mask.bool().nonzero(as_tuple=True)
        return {"input_ids": input_ids, "attention_mask": attention_mask}, labels, where

    # ------------------------------------------------------------------ the critic (critic.py); one process

    @torch.no_grad()
    def _values(self, critic: Critic, batch: dict[str, Any]) -> Tensor:
        """Return what the critic expects before each completion token of a generation batch, (N, T)."""
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        parts = zip(*(batch[name].split(self.args.per_device_train_batch_size) for name in names), strict=True)
        return torch.cat([self._score_values(critic, dict(zip(names, part, strict=True))) for part in parts])

    def _score_values(self, critic: Critic, batch: dict[str, Any]) -> Tensor:
        """Return the values (B, T) of a micro-batch, with their graph; 0 where there is no token."""
        input_ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        attention_mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        inputs, labels, where = self._layout(input_ids, attention_mask, batch["completion_ids"].shape[1])
        with self.accelerator.autocast():
            values = critic(self.accelerator.unwrap_model(self.model), inputs, labels)
        return values.new_zeros(batch["completion_ids"].shape).index_put(where, values)

    def _add_targets(self, out: dict[str, Any], values_NT: Tensor, returns_PGT: Tensor | None, mode: str) -> None:
        """Put what the critic's loss needs beside the advantages: TRL shuffles and splits them together."""
        assert returns_PGT is not None  # check_critic has seen that the advantage gives them
        out["old_values"], out["returns"] = values_NT, returns_PGT.flatten(0, 1).to(values_NT)
        taken = (out["completion_mask"] * out.get("tool_mask", 1)).bool()
        explained = explained_variance(values_NT[taken], out["returns"][taken])
        self._metrics[mode]["critic/explained_variance"].append(explained)

    def _critic_loss(self, critic: Critic, inputs: dict[str, Any]) -> Tensor:
        """Return value_coef times the mean error over the kept tokens of the batch, whatever the loss_type."""
        values_BT = self._score_values(critic, inputs)
        mask_BT = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        error_BT = value_loss(values_BT, inputs["old_values"], inputs["returns"], self.args.value_clip)
        error = (error_BT * mask_BT).sum()
        self._metrics["train"]["critic/loss"].append((error.detach() / mask_BT.sum().clamp(min=1)).item())
        # dapo's divisor: the tokens of the generation batch, for as many updates as it serves.
        updates = self.args.steps_per_generation / self.current_gradient_accumulation_steps
        return self.args.value_coef * error * updates / inputs["num_items_in_batch"].clamp(min=1)

    def create_optimizer(self, model=None):
        """Create the optimizer as Trainer does, with the critic as one more group of it."""
        optimizer = super().create_optimizer(model)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if self.critic is not None and id(self.critic.head.weight) not in held:
            optimizer.add_param_group(
                {"params": self.critic.trainable(), "lr": self.args.critic_learning_rate, "weight_decay": 0.0}
            )
        return optimizer

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        if self.critic is not None:
            self.critic.save(Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}")

    def _load_optimizer_and_scheduler(self, checkpoint):
        if checkpoint and self.critic is not None:
            self.critic.load(Path(checkpoint))  # first: without its group the optimizer's own message would be obscure
        super()._load_optimizer_and_scheduler(checkpoint)
