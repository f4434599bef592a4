"""Load problem sets by spec, and check that every gold answer passes the set's own verifier."""

import inspect
import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from rlvr.core import specs
from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.core.records import Problem


def problem_set(spec: str) -> ModuleType:
    """Return the module of a problem set, checked for what every set must define."""
    parsed = specs.parse_spec(spec)
    if parsed.attr:
        raise SpecError(f"A problem set is a whole file: write {parsed.name!r}, without ':{parsed.attr}'.")
    module = specs.load("data", parsed.name)
    missing = [name for name in ("VERSION", "load", "verify") if not hasattr(module, name)]
    if missing:
        raise SpecError(f"The problem set {parsed.name!r} defines no {missing[0]!r}. See docs/adding.md.")
    return module


def load_problems(spec: str, split: str, size: int | None, seed: int) -> list[Problem]:
    """Load `size` problems of `split` from the set that `spec` names, e.g. `arithmetic(levels=[0, 1])`.

    A spec may name a split of its own, which counts: `jsonl(path='test.jsonl', split='all')`.
    Raises SpecError for unknown parameters ("did you mean"); DataError for anything but Problems, for duplicate ids,
    empty prompts, and answers that JSON cannot hold (they are written to the evaluation file).

    >>> load_problems("arithmetic(levels=[0])", "test", 1, 0)[0].task
    'arithmetic/L0'
    """
    parsed, module = specs.parse_spec(spec), problem_set(spec)
    parameters = inspect.signature(module.load).parameters
    known = [name for name in parameters if name not in ("split", "size", "seed")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    params = dict(parsed.params)
    split = params.pop("split", split)
    for name in params:
        if name not in known and not takes_any:
            raise SpecError(did_you_mean(f"parameter of {parsed.name!r}", name, known))
    try:
        problems = module.load(split, size, seed, **params)
    except (TypeError, SystemExit) as error:  # sys.exit(0) would end the run as if all were done
        reason = f"it calls sys.exit({error})" if isinstance(error, SystemExit) else error
        raise SpecError(f"Cannot load {spec!r}: {reason}") from error
    if not problems:
        raise DataError(f"{spec!r} has no problems in its {split} split.")
    seen: set[str] = set()
    for problem in problems:
        if not isinstance(problem, Problem):
            raise DataError(f"load() of {spec!r} must return rlvr.Problem records, found {problem!r:.80}.")
        if problem.id in seen:
            raise DataError(f"{spec!r} gives the id {problem.id!r} twice; ids must be unique.")
        seen.add(problem.id)
        _check_content(problem, spec)
    return problems


def _check_content(problem: Problem, spec: str) -> None:
    prompt: Any = problem.prompt  # a user's file may hold anything
    if not isinstance(prompt, list) or not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in prompt
    ):
        raise DataError(
            f"Problem {problem.id!r} of {spec!r}: the prompt must be a list of chat messages, "
            f"[{{'role': 'user', 'content': '...'}}], found {prompt!r:.80}."
        )
    if not any(m["content"].strip() for m in prompt):
        raise DataError(f"Problem {problem.id!r} of {spec!r} has an empty prompt.")
    try:
        json.dumps(problem.answer, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"Problem {problem.id!r} of {spec!r}: its answer cannot be written as JSON: {error}.") from None
    for what, part in (("id", problem.id), ("task", problem.task), ("prompt", prompt), ("answer", problem.answer)):
        try:
            json.dumps(part, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # it would end the run where it is first written or tokenised
            half = error.object[error.start]
            raise DataError(
                f"Problem {problem.id!r} of {spec!r}: its {what} holds half a character (a lone surrogate, {half!r}), "
                "which no file can hold. Remove it from the data."
            ) from None


def split_of(spec: str, split: str) -> str:
    """Return the split that is loaded where `split` is asked for: the spec's own, if it names one.

    >>> split_of("jsonl(path='test.jsonl', split='all')", "test"), split_of("arithmetic", "test")
    ('all', 'test')
    """
    return str(dict(specs.parse_spec(spec).params).get("split", split))


def measured_warnings(spec: str, split: str, size: int | None, problems: Sequence[Problem]) -> list[str]:
    """Return warnings about measuring on these problems: a small part of a file, or all of it."""
    module, split = problem_set(spec), split_of(spec, split)
    params = {name: value for name, value in specs.parse_spec(spec).params if name != "split"}
    rows = module.rows(**params) if hasattr(module, "rows") else None
    if split == "all":
        return [f"{spec}: every row is measured, so nothing may have been trained on this file."]
    possible = min(n for n in (rows, size) if n is not None) if (rows, size) != (None, None) else 0
    if len(problems) >= possible:
        return []
    asked = "" if size is None else f" of {size} asked for"
    if rows is None:
        return [f"{spec}: {len(problems)} problems{asked} are measured: its {split} split has no more."]
    return [
        f"{spec}: {len(problems)} problems{asked} are measured. The file has {rows} rows, and a hash of the prompt "
        "puts each in one split (80% train, 10% validation, 10% test). To measure all of a file that nothing is "
        f"trained on, write split='all' into the spec: {_with_split_all(spec)}"
    ]


def _with_split_all(spec: str) -> str:
    parsed = specs.parse_spec(spec)
    return str(specs.Spec(parsed.name, parsed.attr, (*(p for p in parsed.params if p[0] != "split"), ("split", "all"))))


def overlap_warning(spec: str, measured: Sequence[Problem], trained: Sequence[Problem]) -> str | None:
    """Return a warning where problems that are measured are trained on too, else None."""
    seen = {json.dumps(problem.prompt, sort_keys=True) for problem in trained}
    both = sum(json.dumps(problem.prompt, sort_keys=True) in seen for problem in measured)
    if not both:
        return None
    return (
        f"{both} of the {len(measured)} problems of {spec} that are measured are trained on as well: their numbers "
        "will say what was learned by heart. Name other rows: --eval_data \"jsonl(path='test.jsonl', split='all')\"."
    )


def gold_text(module: ModuleType, problem: Problem) -> str:
    """Return an answer text that the verifier must accept: the set's `gold_answer(problem)`, or the answer itself."""
    return module.gold_answer(problem) if hasattr(module, "gold_answer") else str(problem.answer)
