"""Measure what an endpoint serves: its completions are scored as those of a model are, and make the same evaluation."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlvr.config.settings import EvalConfig
from rlvr.core.console import say
from rlvr.core.records import Problem
from rlvr.core.specs import slug
from rlvr.measure.endpoint import Endpoint, Journal, Reply, sample_endpoint
from rlvr.measure.limits import length_limit, warn_of_cuts
from rlvr.measure.record import describe, form_facts, problem_row, sample_row
from rlvr.models.sampling import Sampling
from rlvr.problems.prompts import messages
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet, measured_warnings
from rlvr.runs.eval_file import SCHEMA
from rlvr.runs.texts_file import without_texts


def evaluate_endpoint(
    model: str, config: EvalConfig, data: ProblemSet, problems: Sequence[Problem]
) -> Iterator[dict[str, Any]]:
    """Sample from the server that `config` names and yield the evaluation.

    Completions are kept in `config.samples_file` as they come, and the same measurement goes on from there; once the
    evaluation has been taken the file is removed. Raises ModelError as `sample_endpoint` does.
    """
    for warning in measured_warnings(data, config.split, config.size, problems):
        say(f"WARNING: {warning}")
    limit = config.max_completion_length or length_limit(data)
    sampling = Sampling(limit, config.temperature, config.top_p, config.top_k)
    template: Any = config.chat_template_kwargs
    endpoint = Endpoint(
        str(config.endpoint),
        model,
        config.requests_at_once,
        config.requests_per_minute,
        config.retries,
        config.request_timeout,
        template,
    )
    chats = [messages(problem, config.answers, config.system_prompt) for problem in problems]
    path = Path(config.samples_file or f"evals/{slug(Path(model).name)}-{slug(config.set)}.samples.jsonl")
    asked = {"endpoint": endpoint.url, "model": model, "n": config.n, "seed": config.seed, "sampling": vars(sampling)}
    journal = Journal(path, {**asked, "template": template, "chats": chats})
    start = time.perf_counter()
    try:
        replies = sample_endpoint(endpoint, chats, config.n, sampling, config.seed, journal)
    except BaseException:
        journal.close(done=False)
        raise
    seconds = time.perf_counter() - start
    with Scorer.of(data, config.answers, config.verify_timeout) as scorer:
        completions = scorer(
            [problem for problem in problems for _ in range(config.n)],
            [reply["text"] for reply in replies],
            [reply["tokens"] or 0 for reply in replies],
            [bool(reply["truncated"]) for reply in replies],
        )
    samples = [
        sample_row(completion, reply["logp"]) | {key: reply[key] for key in ("tokens", "truncated")}
        for completion, reply in zip(completions, replies, strict=True)
    ]
    record = {
        "schema": SCHEMA,
        "n": config.n,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "max_completion_length": limit,
        "seed": config.seed,
        "endpoint": endpoint.url,
        **form_facts(scorer.answers),
        **({"chat_template_kwargs": dict(template)} if template else {}),
        "seconds": round(seconds, 3),
        "sampled_tokens": sum(reply["tokens"] or 0 for reply in replies),
        "verifier_errors": sum(scorer.verifier.errors.values()),
        "problems": [
            problem_row(problem, samples[i * config.n : (i + 1) * config.n]) for i, problem in enumerate(problems)
        ],
        **describe(data, config.split, model),
    }
    warn_of_cuts(record)
    if config.n > 1 and config.temperature > 0:
        warn_of_copies(replies, config.n)
    yield record if config.texts == "parquet" else without_texts(record)
    journal.close(done=True)


def warn_of_copies(replies: Sequence[Reply], n: int) -> None:
    """Say it where all `n` replies of every problem are the same: the server decodes greedily whatever was asked."""
    groups = [replies[i : i + n] for i in range(0, len(replies), n)]
    if groups and all(reply["text"] == group[0]["text"] for group in groups for reply in group):
        say(
            "WARNING: all completions of each problem are the same, although a temperature above 0 was asked for: the "
            "server does not sample, and pass@k cannot rise. (transformers serve: do_sample in the generation config.)"
        )
