"""Make an evaluation's rows out of judged completions: one for each problem, one for each sample."""

from collections.abc import Sequence
from typing import Any

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.records import Completion, Problem
from rlvr.problems.sets import ProblemSet

LONGEST_ANSWER = 200  # characters of an answer in the JSON; the texts hold all of it


def sample_row(completion: Completion, logp: float | None, **unknown: None) -> dict[str, Any]:
    """Return one sample of an evaluation; `logp` is the sum of its log-probabilities in nats, None if not known.

    `unknown` names fields that nobody knows of a completion that was made elsewhere: `tokens=None, truncated=None`.

    >>> right = Completion(Problem("1", [], "4"), "<answer>4</answer>", "4", None, True, True, 7)
    >>> row = sample_row(right, -0.51234567, truncated=None)
    >>> row["correct"], row["logp"], row["truncated"], row["text"]
    (True, -0.5123, None, '<answer>4</answer>')
    """
    return {
        "correct": completion.correct,
        "confidence": completion.confidence,
        "answer": None if completion.answer is None else str(completion.answer)[:LONGEST_ANSWER],
        "tokens": completion.n_tokens,
        "logp": None if logp is None else round(logp, 4),
        "format_ok": completion.format_ok,
        "truncated": completion.truncated,
        "text": completion.text,
        **unknown,
    }


def form_facts(answers: AnswerFormat, prompt_end: str | None = None) -> dict[str, Any]:
    """Return what an evaluation says of the form in which answers are read, so that they can be read again.

    `prompt_end` is how the prompts end, which matters where a template opens the model's own thinking.

    >>> form_facts(AnswerFormat.of("boxed"))
    {'tags': ['answer'], 'answer_format': 'boxed'}
    """
    facts: dict[str, Any] = {"tags": list(answers.tags)}
    if answers != AnswerFormat.of(answers.tags):
        facts["answer_format"] = str(answers)
    if answers.thinking == "native" and prompt_end is not None:
        facts["prompt_end"] = prompt_end
    return facts


def problem_row(problem: Problem, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one problem of an evaluation with its samples."""
    return {
        "id": problem.id,
        "task": problem.task,
        "gold": problem.answer,
        "messages": problem.prompt,
        "n": len(samples),
        "c": sum(sample["correct"] is True for sample in samples),
        "samples": list(samples),
    }


def describe(data: ProblemSet, split: str, model: str) -> dict[str, Any]:
    """Return the part of an evaluation that says what was measured."""
    return {
        "set": data.slug,
        "spec": data.spec,
        "set_version": data.version,
        "split": data.split(split),
        "model": model,
    }
