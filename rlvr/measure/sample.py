"""Sample completions of problems and score them: the one way from a model to judged completions outside of training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.errors import ModelError
from rlvr.core.records import Completion, Problem
from rlvr.models.chat import check_lengths, encode, prompt_end
from rlvr.models.load import eos_ids
from rlvr.models.sampling import Engine, Samples, Sampling, Steered
from rlvr.models.sampling.by_vllm import VllmEngine
from rlvr.models.sampling.source import ModelSource
from rlvr.problems.prompts import messages
from rlvr.problems.scorer import Scorer


@dataclass(frozen=True)
class Policy:
    """Hold what answers problems: a model's engine and tokenizer, and what its prompts say beside the problem.

    `template` is what the chat template reads beside the messages (see `encode`).
    """

    engine: Engine | VllmEngine
    tokenizer: PreTrainedTokenizerBase
    system_prompt: str | None = None
    template: Mapping[str, Any] | None = None

    @property
    def model(self) -> PreTrainedModel:
        """Return the one model that answers; ModelError for a steered one, which is three, and for vLLM's."""
        source = self.engine.source if isinstance(self.engine, Engine) else None
        if isinstance(source, ModelSource):
            return source.policy
        whose = "vLLM" if source is None else "A steered model"
        raise ModelError(f"{whose} has no logits of one model to read: leave exact and q_expected out.")


@dataclass(frozen=True)
class Sampled:
    """Hold samples and their scored completions, n for each prompt (token ids), prompt by prompt."""

    prompts: list[list[int]]
    samples: Samples
    completions: list[Completion]


def sample(
    policy: Policy,
    problems: Sequence[Problem],
    scorer: Scorer,
    *,
    n: int,
    sampling: Sampling,
    seed: int,
    part: slice = slice(None),
) -> Sampled:
    """Sample `n` completions for each of `problems[part]` and score them.

    The same seed draws the same noise for problem i and sample j, whatever the model and the part.
    Raises DataError for a prompt of any problem that leaves no room in the model's context, ModelError where
    probabilities are not finite.
    """
    engine, tokenizer = policy.engine, policy.tokenizer
    prompts = encode(tokenizer, [messages(p, scorer.answers, policy.system_prompt) for p in problems], policy.template)
    check_lengths(prompts, [p.id for p in problems], 1, engine.context)
    first = part.indices(len(problems))[0]
    prompts = prompts[part]
    engine.refresh()
    samples = engine.generate(prompts, n, sampling, seed, first_row=first * n)
    if not all(math.isfinite(logp) for logps in samples.logps for logp in logps):
        raise ModelError(
            "The model gives probabilities that are not finite, so nothing was measured: its weights are broken "
            "(training diverged), or overflow in this precision. Try an earlier checkpoint, or float32."
        )
    ends = set(engine.eos_ids)
    completions = scorer(
        [p for p in problems[part] for _ in range(n)],
        [tokenizer.decode(ids, skip_special_tokens=True) for ids in samples.ids],  # batch_decode makes a text of none
        [len(ids) for ids in samples.ids],
        [ids[-1] not in ends for ids in samples.ids],
        prompt_end(tokenizer, policy.template),
    )
    return Sampled(prompts, samples, completions)


def make_engine(
    model: PreTrainedModel | PeftModel | Steered, tokenizer: PreTrainedTokenizerBase, dtype: Any = None
) -> Engine:
    """Return an engine for `model` that ends completions where the model (or its expert) and its tokenizer say so."""
    eos, pad = _ends(model, tokenizer)
    return Engine(model, eos, pad, dtype)


def make_generate_engine(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, dtype: Any = None
) -> Engine:
    """Return the engine that samples with transformers' own generate; the model's weights become `dtype` if given."""
    return Engine(model if dtype is None else model.to(dtype), *_ends(model, tokenizer), by_generate=True)


def _ends(model: PreTrainedModel | PeftModel | Steered, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], int]:
    """Return the ids that end a completion, and one to pad with."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    models = (model.base, model.expert) if isinstance(model, Steered) else (model,)
    return sorted({id for m in models for id in eos_ids(m, tokenizer)}), pad
