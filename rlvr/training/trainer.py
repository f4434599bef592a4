"""Train on top of TRL: RLVRTrainer, the one file that touches TRL's private names.

Read it as: choose problems -> sample -> judge -> reward -> credit -> loss. One `GenerationBatch` (batch.py) goes
through these; each hook below hands on to the part that does the work, which knows no trainer. Thin wraps, never a
copied method. With no rlvr option set it behaves as GRPOTrainer does. Read in TRL 1.16; tests/test_trl_contract.py
holds each hook.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel
from trl import GRPOTrainer
from trl.kernels.chunked_logprob import _use_triton

from rlvr.advantages import Transform
from rlvr.config.settings import TrainConfig
from rlvr.core.old_names import old_keywords
from rlvr.core.records import Problem
from rlvr.models.chat import prompt_end
from rlvr.models.frozen import float32_adapters
from rlvr.models.sampling import Sampling
from rlvr.problems.scorer import Scorer
from rlvr.rewards.limits import JUDGED, term_worker
from rlvr.runs.pass_rate import PassRate
from rlvr.training import credit
from rlvr.training.batch import GenerationBatch, Row
from rlvr.training.batch_metrics import batch_metrics
from rlvr.training.brier_loss import BrierLoss, check_brier_loss
from rlvr.training.callbacks.skip_unmixed import SkipUnmixed
from rlvr.training.choose import make_chooser
from rlvr.training.critic import CriticStep, check_critic
from rlvr.training.critic_loss import CriticLoss
from rlvr.training.curriculum.dynamic_sampling import Group
from rlvr.training.epoch_sampler import EpochRepeatSampler
from rlvr.training.forward import Forward, padded, silent_rows
from rlvr.training.half_gradients import HalfGradients
from rlvr.training.inputs import resolve_inputs, use_terms
from rlvr.training.judge import Judge
from rlvr.training.resume import Checkpoints, ResumeState, callback_states, load_callback_states
from rlvr.training.rollouts_log import log_rollouts
from rlvr.training.sampling import EngineSampling, Logps, TokenIds, engine_fits, known_samples
from rlvr.training.verdicts import Correct
from rlvr.training.whole_groups import WholeGroups

Inputs = dict[str, Any]


class RLVRTrainer(GRPOTrainer):
    """Train as GRPOTrainer does, with composable advantages, honest filters and an in-process rollout engine.

    Args (all optional, beyond GRPOTrainer's):
        advantage: a transform, chain or spec that makes the signal; None leaves TRL's own advantages.
        problems: id -> Problem, for the `id` column of the dataset; with `scorer` and `terms`, the rewards.
        scorer: parses and verifies completions.
        terms: reward term -> weight; the reward functions, unless `reward_funcs` are given.
        data: a problem set: its verifier is the scorer, its problems are the rows where `train_dataset` is not given.
        correct: says which completions are right, where no scorer does: a function (with TRL's reward signature, or of
            a Completion), "my_reward > 0.5", or a column with the gold answer (rlvr/training/verdicts.py).
        pass_rates: what is known of each problem, which filters read; it grows with what training sees.
        rollouts: folder for one parquet file per generation batch; None writes none. Nobody judges: `correct` is null.

    Every string is resolved as the command does: `model="tiny"`, `advantage="nsr"`, `terms={"correct": 1.0}`. Rows may
    be a list of dicts. Sign rules and difficulty filters need a scorer, `correct` or `data`: a reward is no verdict.
    """

    _tr_loss: Tensor  # transformers', while it trains: the loss since the last logged step

    @old_keywords(record="pass_rates")
    def __init__(
        self,
        *args: Any,
        advantage: Transform | str | None = None,
        problems: Mapping[str, Problem] | None = None,
        scorer: Scorer | None = None,
        terms: Mapping[Any, float] | None = None,
        data: str | None = None,
        correct: Correct | None = None,
        pass_rates: PassRate | None = None,
        rollouts: Path | None = None,
        **kwargs: Any,
    ):
        given = resolve_inputs(args, kwargs, advantage, problems, scorer, terms, data, correct)
        config = given.trl.get("args")
        self.term_worker = term_worker(given.terms, getattr(config, "reward_timeout", 10.0))
        use_terms(given, self.term_worker, WholeGroups(lambda: self.batch))
        credit.check_divisor(config, given.advantage)
        check_critic(config, given.advantage)
        check_brier_loss(config)
        super().__init__(**given.trl)
        float32_adapters(self.model)  # TRL rounds those of a 4-bit base
        self.advantage, self.problems, self.verdicts = given.advantage, given.problems, given.verdicts
        self.pass_rates = PassRate() if pass_rates is None else pass_rates
        self.rollouts_dir = rollouts
        self.batch = GenerationBatch()  # the newest one
        self._hold_parts(given.scorer)

    def _hold_parts(self, scorer: Scorer | None) -> None:
        """Build the parts from TRL's settings and ours; each of them is built and tested without a trainer."""
        args, ours = self.args, isinstance(self.args, TrainConfig)
        self.judge = Judge(
            scorer,
            self.problems,
            self.verdicts,
            self._tokenizer,
            self.eos_token_ids,
            prompt_end(self._tokenizer, self.chat_template_kwargs) if scorer is not None else None,
            keep_texts=self.rollouts_dir is not None,
        )
        self.choose = make_chooser(
            args, self.train_dataset, self.pass_rates, scorer, self.advantage, self._sample_groups
        )
        sampling = Sampling(self.max_completion_length, self.temperature, self.top_p, self.top_k or 0)
        self.engine_sampling = (
            # with tools a completion is sampled in several turns
            EngineSampling.of(args, self._policy, self._tokenizer, self.eos_token_ids, sampling, plain=not self.tools)
            if ours
            else None
        )
        self.forward = Forward.of(
            [model for model in (self.model, self.ref_model) if model is not None],
            pack_prompts=getattr(args, "pack_prompts", False),
            fused_head=args.cast_lm_head_to_fp32 or _use_triton(self.accelerator.device),
            temperature=self.temperature,
            autocast=self.accelerator.autocast,
            whole=not self.sharded,
        )
        self.critic_loss = CriticLoss.of(args, self.model, self.forward, self._policy, self.accelerator.device)
        self.critic = None if self.critic_loss is None else self.critic_loss.critic
        if self.critic is not None:
            self.add_callback(CriticStep(self.critic, self._log_update))
        self.brier_loss = BrierLoss.of(args, self.forward, self._policy, self._tokenizer, self.temperature)
        named = {"critic/loss": self.critic_loss, "confidence/expected_brier": self.brier_loss}
        self.more_losses = {name: loss for name, loss in named.items() if loss is not None}
        self.checkpoints = Checkpoints(self.accelerator)
        whole = self.accelerator.num_processes == 1 and not self.sharded
        self.half_gradients = HalfGradients(self._log_update, whole)
        if getattr(args, "min_mixed_groups", 0.0):
            self.add_callback(SkipUnmixed(args.min_mixed_groups, self._log_update))
        self.warn_if_nothing_is_left = credit.NothingLeftWarning()

    # ------------------------------------------------ choose -> sample -> judge -> reward -> credit

    def _generate_and_score_completions(self, inputs: list[Row]) -> Inputs:
        training = self.model.training
        batch = self.batch = GenerationBatch(
            rows=inputs,
            group_size=self.num_generations if training else self.num_generations_eval,
            training=training,
            number=self._step,
            step=self.state.global_step + 1,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
            updates=self.args.steps_per_generation / self.args.gradient_accumulation_steps,
        )
        try:
            if training and self.choose is not None:
                self.choose(batch)
                self.state.num_input_tokens_seen += batch.thrown_tokens
            out = super()._generate_and_score_completions(batch.rows)  # asks the hooks below: sample, judge, reward
        finally:
            batch.forget_samples()
        self._give_credit(batch, out)
        self._finish(batch)
        return out

    def _generate_single_turn(
        self, prompt_ids: TokenIds, images: Any, multimodal_fields: Any, num_generations: int, *args: Any, **kwargs: Any
    ) -> tuple[TokenIds, Logps]:
        if self.batch.known:
            return known_samples(self.batch)
        if self.engine_sampling is None or not self._engine_fits(images, multimodal_fields):
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs
            )
        return self.engine_sampling(self.batch, prompt_ids, num_generations), None

    def _calculate_rewards(
        self, inputs: list[Row], prompts: list[Any], completions: list[Any], completion_ids_list: TokenIds
    ) -> Tensor:
        judged = self.judge.completions(self.batch, inputs, completions, completion_ids_list)
        rows = inputs if judged is None else [{**row, JUDGED: c} for row, c in zip(inputs, judged, strict=True)]
        rewards_NF = super()._calculate_rewards(rows, prompts, completions, completion_ids_list)
        self.batch.judged = self.judge.gather(
            self.batch, rows, prompts, completions, completion_ids_list, judged, rewards_NF, self.reward_func_names
        )
        return rewards_NF

    def _give_credit(self, batch: GenerationBatch, out: Inputs) -> None:
        """Make the signal of a batch and put it where the loss reads it."""
        critic = self.critic_loss
        values_NT = None if critic is None else critic.values(out, self.args.per_device_train_batch_size)
        batch.rollouts = credit.make_rollouts(batch, self.reward_weights, self.pass_rates, values_NT)
        if self.advantage is None:
            return
        batch.signal = credit.make_signal(self.advantage, batch.rollouts, batch.filled.unfilled if batch.filled else 0)
        used = credit.write_signal(out, batch.signal, batch, self.loss_type, self.accelerator.gather)
        # A deque as long as the generation batch: this replaces the advantages which TRL computed but nobody used.
        self._logs["advantages"].extend(used)
        if critic is not None and values_NT is not None:
            explained = critic.add_targets(out, values_NT, batch.signal.returns_PGT)
            batch.log({"critic/explained_variance": explained})
        if self.brier_loss is not None:
            self.brier_loss.add_targets(out, batch)

    def _finish(self, batch: GenerationBatch) -> None:
        """Log a batch, write it down, and count what it showed."""
        batch.log(batch_metrics(batch, self.judge.judges, self.judge.tags))
        for name, value in batch.metrics:
            self._metrics["train" if batch.training else "eval"][name].append(value)
        if batch.training:
            self.warn_if_nothing_is_left(batch, self.judge.judges)
            if self.rollouts_dir is not None and self.accelerator.is_main_process:
                log_rollouts(self.rollouts_dir, batch, self.reward_func_names)
            credit.count_outcomes(self.pass_rates, batch, self.judge.judges, getattr(self.args, "record_discount", 1.0))
            for callback in self.callback_handler.callbacks:
                if hasattr(callback, "on_generation_batch"):
                    callback.on_generation_batch(batch)

    def _sample_groups(self, batch: GenerationBatch, rows: Sequence[Row]) -> Sequence[Group]:
        """Sample and judge one completion for each row; return the groups of all processes."""
        if not rows:
            return []
        prompt_ids, *extra = self._tokenize_prompts([row["prompt"] for row in rows])
        ids, logps = self._generate_single_turn(prompt_ids, *extra, batch.group_size)
        batch.rows_sampled += len(rows) * batch.processes
        texts = self.processing_class.batch_decode(ids, skip_special_tokens=True)
        return self.judge.groups(batch, rows, list(map(len, prompt_ids)), texts, ids, logps)

    def _policy(self) -> PreTrainedModel | PeftModel:
        return self.accelerator.unwrap_model(self.model)

    def _engine_fits(self, images: Any, multimodal_fields: Any) -> bool:
        """Return whether the in-process engine can sample this batch exactly as asked; else TRL does."""
        others = self.use_vllm or self.use_transformers_continuous_batching or self._is_vlm or self.sharded
        return engine_fits(self.args, otherwise=bool(others or images or multimodal_fields))

    @property
    def sharded(self) -> bool:
        """Return whether no process holds the whole model, so that weights must be gathered first, as TRL does."""
        return self.is_deepspeed_enabled or self.is_fsdp_enabled

    # ------------------------------------------------------------------ the loss

    def training_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        loss = super().training_step(model, *args, **kwargs)
        self.half_gradients.after_backward(model, self.state.global_step + 1, self.current_gradient_accumulation_steps)
        return loss

    def _compute_loss(self, model: nn.Module, inputs: Inputs) -> Tensor:
        with self.forward.without(self._without_signal(inputs), inputs.get("old_per_token_logps")):
            loss = super()._compute_loss(model, inputs)
        return loss + self._more_losses(inputs) if self.more_losses and self.model.training else loss

    def _more_losses(self, inputs: Inputs) -> Tensor:
        """Return the sum of the losses beside the policy's: the critic's, the stated confidence's."""
        updates, losses = self.args.steps_per_generation / self.current_gradient_accumulation_steps, []
        for name, of_batch in self.more_losses.items():
            loss, mean = of_batch(inputs, updates)
            self._log_update(name, mean)
            losses.append(loss)
        return torch.stack(losses).sum()

    def _without_signal(self, inputs: Inputs) -> Tensor | None:
        """Return which rows add exactly zero to loss and gradient, so need no forward; None where that is unsure."""
        asked = getattr(self.args, "skip_silent_rows", False) and self.model.training
        more_loss = self.beta or self._entropy_bonus_enabled or self.aux_loss_enabled or "pixel_values" in inputs
        if not asked or more_loss or self.off_policy_mask_threshold is not None or self.top_entropy_quantile < 1.0:
            return None
        silent_B = silent_rows(inputs)
        self._log_update("rows_skipped", silent_B.float().mean().item())
        return silent_B if silent_B.any() else None

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if self.batch.exact_logps is not None and not compute_entropy:  # the old log-probabilities: known already
            return padded(self.batch.exact_logps, logits_to_keep).to(input_ids.device), None, None
        special = any(v is not None and v is not False for v in kwargs.values())  # images, router losses
        if special or not isinstance(self.args, TrainConfig):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **kwargs
            )
        logps, entropies = self.forward.score(model, input_ids, attention_mask, logits_to_keep, batch_size)
        return logps, entropies if compute_entropy else None, None

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Create the optimizer as Trainer does, with the critic as one more group of it."""
        optimizer = super().create_optimizer(model)
        if self.critic_loss is not None:
            self.critic_loss.join(optimizer)
        return optimizer

    def _log_update(self, name: str, value: float) -> None:
        """Log a number of an update, beside those of its batch."""
        self._metrics["train"][name].append(value)

    # ------------------------------------------------------------------ resume, evaluation

    def _get_train_sampler(self, dataset: Any = None) -> EpochRepeatSampler:
        return EpochRepeatSampler.like(super()._get_train_sampler(dataset), self.args.data_seed)

    def _get_output_dir(self, trial: Any) -> str:
        return self.checkpoints.staging or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial))
        with self.checkpoints.publish(folder, self.state, self.args.save_total_limit) as checkpoint:
            super()._save_checkpoint(model, trial)
            if self.critic is not None:
                self.critic.save(checkpoint)
            self.checkpoints.write(checkpoint, self._resume_state())

    def _resume_state(self) -> ResumeState:
        every = self.args.steps_per_generation * self.num_iterations
        return {
            "step": self._step,
            "buffer": self._buffered_inputs if self._step % every else None,
            "own": self.extra_state(),
            "metrics": {mode: dict(values) for mode, values in self._metrics.items()},
            "loss": (self._tr_loss.detach().cpu(), self._globalstep_last_logged),
            "callbacks": callback_states(self.callback_handler.callbacks),
        }

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint and self.critic is not None:
            self.critic.load(Path(checkpoint))  # first: without its group the optimizer's own message would be obscure
        super()._load_optimizer_and_scheduler(checkpoint)
        state = self.checkpoints.read(checkpoint, self.accelerator.device)
        if state is not None:
            self._step, self._buffered_inputs = state["step"], state["buffer"]
            self.load_extra_state(state["own"])
            for mode, values in state["metrics"].items():
                self._metrics[mode].update(values)
            load_callback_states(self.callback_handler.callbacks, state.get("callbacks", {}))

    def extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this class, beside the buffered rollouts: plain values and tensors."""
        return {"record": self.pass_rates.state_dict(), "fresh": self.choose.position if self.choose else 0}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `extra_state` returned."""
        self.pass_rates.load_state_dict(state["record"])
        if self.choose is not None:
            self.choose.position = state["fresh"]

    def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> Any:
        begun = super()._init_training_state(max_steps, *args, **kwargs)
        self.state.compute_steps(self.args, max_steps)  # how often to log, save and evaluate is the command's to say
        return begun

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # transformers begins at a loss of 0, so the next line's would miss the steps before
        if (unlogged := self.checkpoints.take_unlogged()) is not None:
            loss, self._globalstep_last_logged = unlogged
            self._tr_loss = loss.to(self._tr_loss.device)
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        if not self.control.should_training_stop:  # a callback may have said so when training began
            super()._run_epoch(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate as GRPOTrainer does, leaving every random state as it was: measuring must not change training."""
        with torch.random.fork_rng():
            torch.manual_seed(getattr(self.args, "eval_seed", self.args.seed))
            return super().evaluate(*args, **kwargs)

    # ------------------------------------------------------------------ other names

    @property
    def scorer(self) -> Scorer | None:
        """Return what parses and verifies completions; it may be replaced."""
        return self.judge.scorer

    @scorer.setter
    def scorer(self, scorer: Scorer | None) -> None:
        self.judge.scorer = scorer

    @property
    def record(self) -> PassRate:
        """Return the pass rates, under their former name."""
        return self.pass_rates
