"""Sample in training by the in-process engine where it can do exactly what was asked, else by TRL.

_generate_single_turn            the engine, or completions that are known already; vLLM and the rest stay TRL's
"""

from typing import Any

import torch

from rlvr.config.settings import TrainConfig
from rlvr.models.sampling import Engine, Sampling
from rlvr.training.curriculum.dynamic_sampling import Sample
from rlvr.training.resume import ExactResume


class SamplingPass(ExactResume):
    """Sample a GRPOTrainer's completions by rlvr/models/sampling (TrainConfig.engine)."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._engine: Engine | None = None
        self._presampled: list[Sample] = []  # this process's completions, where they are known before TRL asks
        self._rows_sampled = 0  # in this generation batch before the present call, by all processes
        super().__init__(*args, **kwargs)

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs):
        if self._presampled:  # either all of them know their log-probabilities or none
            known = self._presampled
            self._sampled_logps = [s.exact_logps for s in known if s.exact_logps is not None] or None
            return [s.ids for s in known], [s.logps for s in known if s.logps is not None] or None
        if not self._engine_fits(images, multimodal_fields):
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs
            )
        if self._engine is None:
            self._engine = Engine(
                self.accelerator.unwrap_model(self.model),
                self.eos_token_ids,
                self._tokenizer.pad_token_id,
                self.args.sampling_precision,
            )
        self._engine.refresh()
        group = num_generations
        whole = len(prompt_ids) % group == 0 and all(
            prompt == prompt_ids[i - i % group] for i, prompt in enumerate(prompt_ids)
        )
        if not whole:  # a group straddles two processes: sample row by row
            group = 1
        seed = self.args.sampling_seed if self.args.sampling_seed is not None else self.args.seed
        samples = self._engine.generate(
            prompt_ids[::group],
            group,
            Sampling(self.max_completion_length, self.temperature, self.top_p, self.top_k or 0),
            # A stream of its own for every generation batch; `_step` is part of the checkpoint.
            seed=2 * (seed * 1_000_003 + self._step) + int(not self.model.training),
            first_row=self._rows_sampled + self.accelerator.process_index * len(prompt_ids),
        )
        self._metrics["train" if self.model.training else "eval"]["sampling/tokens_per_second"].append(
            samples.tokens / max(samples.seconds, 1e-9)
        )
        # Exact in the policy's own precision, untruncated; with a KL term the same call would ask for the reference's.
        plain = (self.top_p, self.top_k or 0, self.beta) == (1.0, 0, 0.0)
        if plain and self.args.sampling_precision == torch.float32 and not (self.args.bf16 or self.args.fp16):
            self._sampled_logps = samples.logps
        return samples.ids, None

    @property
    def sharded(self) -> bool:
        """Return whether no process holds the whole model, so that weights must be gathered first, as TRL does."""
        return self.is_deepspeed_enabled or self.is_fsdp_enabled

    def _engine_fits(self, images, multimodal_fields) -> bool:
        """Return whether the in-process engine can sample this batch exactly as asked; else TRL does."""
        args = self.args
        return (
            isinstance(args, TrainConfig)
            and args.engine == "rlvr"
            and not (self.use_vllm or self.use_transformers_continuous_batching or self._is_vlm or self.sharded)
            and not (images or multimodal_fields or args.generation_kwargs or args.min_p)
            and args.repetition_penalty == 1.0
        )
