"""Sample n completions per problem and store what happened: counts and pairs, no aggregates.

Aggregation belongs to `rlvr/measure/metrics/`, so that a stored evaluation can be read again with other metrics.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.config.loading import loading
from rlvr.config.settings import EvalConfig
from rlvr.core.callable_module import CallableModule
from rlvr.core.console import say
from rlvr.core.errors import SpecError
from rlvr.core.records import Problem
from rlvr.measure.by_endpoint import evaluate_endpoint
from rlvr.measure.exact import check_exact, exact_rates
from rlvr.measure.expected_confidence import expected_confidences
from rlvr.measure.limits import length_limit, warn_of_cuts
from rlvr.measure.record import describe, form_facts, problem_row, sample_row
from rlvr.measure.sample import Policy, make_engine, make_generate_engine, sample
from rlvr.models.chat import prompt_end
from rlvr.models.chat_template import check_chat_template
from rlvr.models.declared import Declared
from rlvr.models.precision import describe_device, native_bf16, run_device
from rlvr.models.sampling import Engine, Sampling, Steered
from rlvr.models.sampling.by_vllm import VllmEngine, load_vllm
from rlvr.models.sampling.proxy import load_policy
from rlvr.models.sampling.steered import SteeredSource
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet, measured_warnings
from rlvr.runs.eval_file import SCHEMA
from rlvr.runs.texts_file import without_texts


def evaluate(
    policy: Policy,
    problems: Sequence[Problem],
    scorer: Scorer,
    *,
    n: int,
    sampling: Sampling,
    seed: int,
    exact: ProblemSet | None = None,
    q_expected: bool = False,
) -> dict[str, Any]:
    """Sample `n` completions for every problem and return the evaluation (see docs/run-directory.md).

    `exact`: the set, where each problem's chance of being solved is computed too (`p`, see exact.py); n may then be 0.
    `q_expected`: the expectation of each stated confidence is read from the logits (expected_confidence.py).

    The same seed draws the same noise for problem i and sample j whatever the model, so two models are
    compared under common random numbers. The training state and every global RNG stay as they were.
    Samples hold their `text`, which `save_eval` writes beside the JSON.
    Every process of a launch must call this: each samples its share of the problems, all get the whole record.
    """
    mine = share(len(problems))
    errors_before = sum(scorer.verifier.errors.values())
    start = time.perf_counter()
    rates = exact_rates(policy, problems[mine], exact, scorer.answers, sampling.temperature) if exact else None
    seconds = time.perf_counter() - start
    own_share = sample(policy, problems, scorer, n=n, sampling=sampling, seed=seed, part=mine)
    samples, records = own_share.samples, own_share.completions
    expected: list[float | None] | None = None
    if q_expected:
        prompts = [prompt for prompt in own_share.prompts for _ in range(n)]
        expected = expected_confidences(policy.model, policy.tokenizer, prompts, samples.ids, policy.engine.eos_ids)
    rows = []
    for i, problem in enumerate(problems[mine]):
        own = range(i * n, (i + 1) * n)
        stated = [{"q_expected": expected[j]} if expected else {} for j in own]
        sampled = [sample_row(records[j], samples.logp(j)) | more for j, more in zip(own, stated, strict=True)]
        rows.append(problem_row(problem, sampled) | ({"p": rates[i]} if rates else {}))
    part = {
        "seconds": round(samples.seconds + seconds, 3),
        "sampled_tokens": samples.tokens,
        "verifier_errors": sum(scorer.verifier.errors.values()) - errors_before,
        "problems": rows,
    }
    parts = gather_object([part])  # by rank, so the problems come in order
    return {
        "schema": SCHEMA,
        "n": n,
        **({"exact": True} if exact else {}),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_completion_length": sampling.max_tokens,
        "seed": seed,
        **form_facts(scorer.answers, prompt_end(policy.tokenizer, policy.template)),
        **({"chat_template_kwargs": dict(policy.template)} if policy.template else {}),
        "seconds": max(part["seconds"] for part in parts),
        "sampled_tokens": sum(part["sampled_tokens"] for part in parts),
        "verifier_errors": sum(part["verifier_errors"] for part in parts),
        "problems": [row for part in parts for row in part["problems"]],
    }


def share(total: int) -> slice:
    """Return the slice of `total` problems that this process measures: as many as any other, or one more.

    >>> share(5)
    slice(0, 5, None)
    """
    state = PartialState()
    bounds = np.linspace(0, total, state.num_processes + 1).round().astype(int).tolist()
    return slice(bounds[state.process_index], bounds[state.process_index + 1])


def evaluate_config(model_spec: str, config: EvalConfig) -> Iterator[dict[str, Any]]:
    """Load what `config` names, evaluate it, and yield the evaluation; a steered model has one per alpha."""
    data = ProblemSet.of(config.set)
    _check(data, config)
    problems = data.load(config.split, config.size, config.data_seed)
    if config.endpoint:
        yield from evaluate_endpoint(model_spec, config, data, problems)
        return
    if config.engine == "vllm":
        yield from _evaluate_with_vllm(model_spec, config, data, problems)
        return
    options = loading(config, model_spec)
    policy, tokenizer = load_policy(
        model_spec, config.expert, config.antiexpert, config.alpha, device=run_device(), options=options
    )
    yield from evaluate_policy(policy, tokenizer, data, problems, model_spec, config)


def evaluate_policy(
    policy: PreTrainedModel | Steered,
    tokenizer: PreTrainedTokenizerBase,
    data: ProblemSet,
    problems: Sequence[Problem],
    name: str,
    config: EvalConfig,
) -> Iterator[dict[str, Any]]:
    """Evaluate a loaded model on `problems` of a set, as `config` says; the evaluation calls the model `name`."""
    _check(data, config)
    dtype = _sampling_dtype(config, policy.device)
    engine = make_engine(policy, tokenizer, dtype)
    if config.engine == "transformers" and not isinstance(policy, Steered):
        engine = make_generate_engine(policy, tokenizer, None if policy.dtype == dtype else dtype)
    base = policy.base if isinstance(policy, Steered) else policy
    yield from _evaluations(engine, tokenizer, base, data, problems, name, config)


def _evaluate_with_vllm(
    model_spec: str, config: EvalConfig, data: ProblemSet, problems: Sequence[Problem]
) -> Iterator[dict[str, Any]]:
    """Evaluate what `model_spec` names, its completions sampled by vLLM in this process."""
    dtype = _sampling_dtype(config, run_device())
    sampling = Sampling(1, config.temperature, config.top_p, config.top_k)
    extra: Any = config.vllm_kwargs  # a mapping since it was checked
    options = loading(config, model_spec)
    engine, tokenizer, declared = load_vllm(model_spec, dtype, sampling, config.seed, options, extra)
    for record in _evaluations(engine, tokenizer, declared, data, problems, model_spec, config):
        yield record | {"engine": "vllm"}


def _sampling_dtype(config: EvalConfig, device: torch.device) -> torch.dtype:
    """Return the precision that samples on a device, and say both."""
    fast = config.dtype == "bfloat16" or (config.dtype == "auto" and native_bf16(device))
    say(f"sampling in {'bfloat16' if fast else 'float32'} on {describe_device(device)}")
    return torch.bfloat16 if fast else torch.float32


def _evaluations(
    engine: Engine | VllmEngine,
    tokenizer: PreTrainedTokenizerBase,
    declared: PreTrainedModel | Declared,
    data: ProblemSet,
    problems: Sequence[Problem],
    name: str,
    config: EvalConfig,
) -> Iterator[dict[str, Any]]:
    """Yield the evaluation of what an engine samples, one per alpha where it is steered.

    `declared` is what says how long the model's completions may be, by its config and generation config.
    """
    for warning in measured_warnings(data, config.split, config.size, problems):
        say(f"WARNING: {warning}")
    limit = config.max_completion_length or length_limit(data, declared)
    template: Any = config.chat_template_kwargs  # a mapping since it was checked
    asked = Policy(engine, tokenizer, config.system_prompt, template)
    steered = engine.source.steered if isinstance(engine, Engine) and isinstance(engine.source, SteeredSource) else None
    with Scorer.of(data, config.answers, config.verify_timeout) as scorer:
        for alpha in config.alpha if steered else config.alpha[:1]:
            if steered:
                steered.alpha = alpha
            record = evaluate(
                asked,
                problems,
                scorer,
                n=0 if config.exact else config.n,
                sampling=Sampling(limit, config.temperature, config.top_p, config.top_k),
                seed=config.seed,
                exact=data if config.exact else None,
                q_expected=config.q_expected,
            )
            record |= describe(data, config.split, name)
            record |= {"chat_template": config.chat_template} if config.chat_template else {}
            warn_of_cuts(record)
            if steered:
                record["model"] = f"{name} + {alpha:g} ({config.expert} - {config.antiexpert})"
                record["proxy"] = {"expert": config.expert, "antiexpert": config.antiexpert, "alpha": alpha}
            yield record if config.texts == "parquet" else without_texts(record)


def _check(data: ProblemSet, config: EvalConfig) -> None:
    """Raise SpecError where what is asked for cannot be computed, before a model is loaded."""
    steered = config.expert or config.antiexpert
    if (config.exact or config.q_expected) and steered:
        raise SpecError("exact and q_expected read one model's logits; a steered model is three. Leave them out.")
    if (config.exact or config.q_expected) and (config.endpoint or config.engine != "rlvr"):
        raise SpecError(
            "exact and q_expected read a model's logits in rlvr's own engine: no endpoint, no other engine."
        )
    check_chat_template(config.chat_template)
    if config.chat_template and config.endpoint:
        raise SpecError("chat_template has no place with an endpoint: the server writes the prompts, by its template.")
    if config.exact:
        check_exact(data, config.answers, config.temperature, config.top_p, config.top_k)
    if config.q_expected and (config.exact or config.answers.confidence != "tag"):
        why = "exact samples nothing" if config.exact else f"{config.answers} asks for none in a tag"
        raise SpecError(f"q_expected reads the confidence of samples, and {why}. Leave it out.")


sys.modules[__name__].__class__ = CallableModule  # rlvr.evaluate(...) is rlvr.commands.api.evaluate
