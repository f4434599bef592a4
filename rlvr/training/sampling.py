"""Sample a batch by the in-process engine, where it can do exactly what was asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig

from rlvr.config.settings import TrainConfig
from rlvr.models.sampling import Engine, Samples, Sampling
from rlvr.training.batch import GenerationBatch

TokenIds = list[list[int]]
Logps = list[list[float]] | None


def engine_fits(args: GRPOConfig, otherwise: bool) -> bool:
    """Return whether the in-process engine can sample exactly as asked; else TRL does.

    `otherwise` says that something beyond the settings asks for TRL's way: images, vLLM, a sharded model.
    """
    return (
        isinstance(args, TrainConfig)
        and args.engine == "rlvr"
        and not (otherwise or args.generation_kwargs or args.min_p)
        and args.repetition_penalty == 1.0
    )


@dataclass
class EngineSampling:
    """Sample groups of completions from the policy, each batch from a random stream of its own.

    Args:
        policy: returns the model that samples; asked once, at the first batch.
        eos_ids: every token id that ends a completion.
        pad_id: any valid token id.
        sampling: length limit, temperature, top-p, top-k.
        precision: of the weights that sample.
        seed: of the noise; with the batch's number, and whether it trains, it decides every token.
        exact: the log-probabilities that are drawn from are the policy's own, so that no second forward is needed
            (unless only transformers' generate can read the model: what it reads is not proven).
    """

    policy: Callable[[], PreTrainedModel | PeftModel]
    eos_ids: Sequence[int]
    pad_id: int
    sampling: Sampling
    precision: torch.dtype
    seed: int
    exact: bool = field(default=False, kw_only=True)

    @classmethod
    def of(
        cls,
        args: TrainConfig,
        policy: Callable[[], PreTrainedModel | PeftModel],
        tokenizer: PreTrainedTokenizerBase,
        eos_ids: Sequence[int],
        sampling: Sampling,
        *,
        plain: bool,
    ) -> "EngineSampling":
        """Build it from a run's settings; `plain` says that nothing else changes what a completion is."""
        # Exact in the policy's own precision, untruncated; with a KL term the same call would ask for the reference's.
        plain = plain and (sampling.top_p, sampling.top_k, args.beta) == (1.0, 0, 0.0)
        whole = all(p.dtype == torch.float32 for p in policy().parameters())  # else its own products are rounded
        return cls(
            policy,
            eos_ids,
            tokenizer.pad_token_id,
            sampling,
            args.sampling_precision,
            args.sampling_seed if args.sampling_seed is not None else args.seed,
            exact=plain and whole and args.sampling_precision == torch.float32 and not (args.bf16 or args.fp16),
        )

    @cached_property
    def engine(self) -> Engine:
        """Return the engine, made at the first batch."""
        return Engine(self.policy(), self.eos_ids, self.pad_id, self.precision)

    def __call__(self, batch: GenerationBatch, prompt_ids: Sequence[Sequence[int]], group_size: int) -> TokenIds:
        """Return a completion for each prompt; `prompt_ids` repeats each of them for its group.

        The batch gets the log-probabilities where they are exact.
        """
        self.engine.refresh()
        whole = len(prompt_ids) % group_size == 0 and all(
            prompt == prompt_ids[i - i % group_size] for i, prompt in enumerate(prompt_ids)
        )
        if not whole:  # a group straddles two processes: sample row by row
            group_size = 1
        samples = self.engine.generate(
            prompt_ids[::group_size],
            group_size,
            self.sampling,
            # A stream of its own for every generation batch; its number is part of the checkpoint.
            seed=2 * (self.seed * 1_000_003 + batch.number) + int(not batch.training),
            first_row=batch.rows_sampled + batch.process * len(prompt_ids),
        )
        batch.log({"sampling/tokens_per_second": _rate(samples)})
        if self.exact and self.engine.path != "generate":
            batch.exact_logps = samples.logps
        return samples.ids


def known_samples(batch: GenerationBatch) -> tuple[TokenIds, Logps]:
    """Return the completions that are known before TRL asks, and what their engine said of them (vLLM)."""
    known = batch.known  # either all of them know their log-probabilities or none
    batch.exact_logps = [s.exact_logps for s in known if s.exact_logps is not None] or None
    return [s.ids for s in known], [s.logps for s in known if s.logps is not None] or None


def _rate(samples: Samples) -> float:
    return samples.tokens / max(samples.seconds, 1e-9)
