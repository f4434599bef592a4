"""Loads problem sets by spec, and checks that every gold answer passes its own verifier."""

import inspect
from collections.abc import Sequence
from types import ModuleType

from rlvr import content
from rlvr.errors import DataError, SpecError, did_you_mean
from rlvr.records import Problem


def problem_set(spec: str) -> ModuleType:
    """Return the module of a problem set, checked for what every set must define."""
    parsed = content.parse_spec(spec)
    module = content.load("data", parsed.name)
    missing = [name for name in ("VERSION", "load", "verify") if not hasattr(module, name)]
    if missing:
        raise SpecError(f"The problem set {parsed.name!r} defines no {missing[0]!r}. See docs/adding.md.")
    return module


def load_problems(spec: str, split: str, size: int | None, seed: int) -> list[Problem]:
    """Load `size` problems of `split` from the set that `spec` names, e.g. `arithmetic(levels=[0, 1])`.

    Raises SpecError for unknown parameters ("did you mean"), DataError for duplicate ids or empty prompts.

    >>> load_problems("arithmetic(levels=[0])", "test", 1, 0)[0].task
    'arithmetic/L0'
    """
    parsed, module = content.parse_spec(spec), problem_set(spec)
    known = [name for name in inspect.signature(module.load).parameters if name not in ("split", "size", "seed")]
    for name, _ in parsed.params:
        if name not in known:
            raise SpecError(did_you_mean(f"parameter of {parsed.name!r}", name, known))
    try:
        problems = module.load(split, size, seed, **dict(parsed.params))
    except TypeError as error:
        raise SpecError(f"Cannot load {spec!r}: {error}") from error
    if not problems:
        raise DataError(f"{spec!r} has no problems in its {split} split.")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"{spec!r} gives the id {problem.id!r} twice; ids must be unique.")
        seen.add(problem.id)
        if not problem.prompt or not any(m.get("content", "").strip() for m in problem.prompt):
            raise DataError(f"Problem {problem.id!r} of {spec!r} has an empty prompt.")
    return problems


def gold_text(module: ModuleType, problem: Problem) -> str:
    """Return an answer text that the verifier must accept: the set's `gold_answer(problem)`, or the answer itself."""
    return module.gold_answer(problem) if hasattr(module, "gold_answer") else str(problem.answer)


def check(spec: str, splits: Sequence[str], size: int, seed: int) -> list[str]:
    """Return what is wrong: gold answers that their verifier refuses, empty or absurd answers that it accepts.

    >>> check("arithmetic", ("train", "test"), 20, 0)
    []
    """
    module, failures = problem_set(spec), []
    for split in splits:
        for problem in load_problems(spec, split, size, seed):
            gold = gold_text(module, problem)
            for text, wanted in ((gold, True), ("", False), ("certainly not this", False)):
                try:
                    verdict = module.verify(text, problem.answer)
                except Exception as error:  # a verifier is content: whatever it raises is a finding
                    verdict = f"{type(error).__name__}: {error}"
                if verdict is not wanted:
                    failures.append(
                        f"{problem.id}: verify({text!r}, {problem.answer!r}) gave {verdict!r}, not {wanted}"
                    )
    return failures
