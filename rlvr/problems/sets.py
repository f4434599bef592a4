"""Load problem sets by spec: the file is found, read and checked once, and handed on as one value."""

import inspect
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from rlvr.core import specs
from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.core.records import Problem


@dataclass(frozen=True)
class ProblemSet:
    """Hold what one spec names: a file of problems with its verifier, and the parameters that it is loaded with.

    >>> data = ProblemSet.of("arithmetic(levels=[0])")
    >>> [problem] = data.load("test", 1, 0)
    >>> data.slug, problem.task, data.gold(problem) == problem.answer
    ('arithmetic-levels-0', 'arithmetic/L0', True)
    """

    spec: str
    parsed: specs.Spec = field(repr=False, compare=False)
    module: ModuleType = field(repr=False, compare=False)

    @classmethod
    def of(cls, spec: "str | ProblemSet") -> "ProblemSet":
        """Read a spec, import its file and check what every set must define; a ProblemSet is returned as it is.

        Raises SpecError for a name that nothing has ("did you mean"), a file that cannot be imported or lacks a part.
        """
        if isinstance(spec, ProblemSet):
            return spec
        parsed = specs.parse_spec(spec)
        if parsed.attr:
            raise SpecError(f"A problem set is a whole file: write {parsed.name!r}, without ':{parsed.attr}'.")
        module = specs.import_file("data", parsed.name)
        missing = [name for name in ("VERSION", "load", "verify") if not hasattr(module, name)]
        if missing:
            raise SpecError(f"The problem set {parsed.name!r} defines no {missing[0]!r}. See docs/adding.md.")
        return cls(spec, parsed, module)

    @property
    def version(self) -> Any:
        """Return the file's VERSION, which changes where its problems or its verifier do."""
        return self.module.VERSION

    @property
    def slug(self) -> str:
        """Return the spec as a file name."""
        return specs.slug(self.spec)

    @property
    def file(self) -> str:
        """Return the path of the file, to be imported in another process."""
        return str(specs.find("data", self.parsed.name))

    @property
    def inline(self) -> bool:
        """Return whether the file declares INLINE: its verifier is pure, linear in time, and runs in this process."""
        return getattr(self.module, "INLINE", False)

    @property
    def unique(self) -> bool:
        """Return whether the file declares UNIQUE: its verifier takes the gold answer's text and no other."""
        return getattr(self.module, "UNIQUE", False)

    def split(self, split: str) -> str:
        """Return the split that is loaded where `split` is asked for: the spec's own, if it names one.

        >>> ProblemSet.of("jsonl(path='test.jsonl', split='all')").split("test")
        'all'
        """
        return str(dict(self.parsed.params).get("split", split))

    def example(self, seed: int) -> tuple[Problem, str]:
        """Return the first training problem and the text of its right answer."""
        problem = self.load("train", 1, seed)[0]
        return problem, self.gold(problem)

    def load(self, split: str, size: int | None, seed: int) -> list[Problem]:
        """Load `size` problems of `split` (see `split`); None is all of them.

        Raises SpecError for unknown parameters ("did you mean"); DataError for anything but Problems, for duplicate
        ids, empty prompts, and answers that JSON cannot hold (they are written to the evaluation file).
        """
        parameters = inspect.signature(self.module.load).parameters
        known = [name for name in parameters if name not in ("split", "size", "seed")]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        params = dict(self.parsed.params)
        split = params.pop("split", split)
        for name in params:
            if name not in known and not takes_any:
                raise SpecError(did_you_mean(f"parameter of {self.parsed.name!r}", name, known))
        try:
            problems = self.module.load(split, size, seed, **params)
        except (TypeError, SystemExit) as error:  # sys.exit(0) would end the run as if all were done
            reason = f"it calls sys.exit({error})" if isinstance(error, SystemExit) else error
            raise SpecError(f"Cannot load {self.spec!r}: {reason}") from error
        if not problems:
            raise DataError(f"{self.spec!r} has no problems in its {split} split.")
        seen: set[str] = set()
        for problem in problems:
            if not isinstance(problem, Problem):
                raise DataError(f"load() of {self.spec!r} must return rlvr.Problem records, found {problem!r:.80}.")
            if problem.id in seen:
                raise DataError(f"{self.spec!r} gives the id {problem.id!r} twice; ids must be unique.")
            seen.add(problem.id)
            _check_content(problem, self.spec)
        return problems

    def gold(self, problem: Problem) -> str:
        """Return an answer text that the verifier must accept: the file's `gold_answer(problem)`, or the answer.

        Of an answer that is a mapping, as `load_rows` makes them, it is the "text".
        """
        if hasattr(self.module, "gold_answer"):
            return self.module.gold_answer(problem)
        answer = problem.answer
        return str(answer["text"] if isinstance(answer, dict) and "text" in answer else answer)

    @property
    def completion_tokens(self) -> int | None:
        """Return how many tokens an answer may need, the file's COMPLETION_TOKENS; None where it does not say."""
        return getattr(self.module, "COMPLETION_TOKENS", None)

    @property
    def solution(self) -> Callable[[Problem], str] | None:
        """Return the file's `solution(problem)`, which writes a worked solution; None where it has no such function."""
        return getattr(self.module, "solution", None)

    def lesson(self, problem: Problem, draw: random.Random) -> tuple[str, str]:
        """Return the (working, answer) that a warm-up teaches: the worked solution and the gold answer.

        A file whose base shall know only so much has a `teacher(problem, draw)` instead, which may be wrong.
        """
        if hasattr(self.module, "teacher"):
            return self.module.teacher(problem, draw)
        return self.module.solution(problem), self.gold(problem)


def problem_set(spec: str) -> ModuleType:
    """Return the file that a problem set's spec names, as a module: its functions, and what else stands in it."""
    return ProblemSet.of(spec).module


def load_problems(spec: str, split: str, size: int | None, seed: int) -> list[Problem]:
    """Load `size` problems of `split` from the set that `spec` names, e.g. `arithmetic(levels=[0, 1])`.

    A spec may name a split of its own, which counts: `jsonl(path='test.jsonl', split='all')`.
    Raises SpecError and DataError as `ProblemSet.of` and `ProblemSet.load` do.

    >>> load_problems("arithmetic(levels=[0])", "test", 1, 0)[0].task
    'arithmetic/L0'
    """
    return ProblemSet.of(spec).load(split, size, seed)


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


def measured_warnings(data: str | ProblemSet, split: str, size: int | None, problems: Sequence[Problem]) -> list[str]:
    """Return warnings about measuring on these problems: a small part of a file, or all of it."""
    data = ProblemSet.of(data)
    spec, split = data.spec, data.split(split)
    params = {name: value for name, value in data.parsed.params if name != "split"}
    rows = data.module.rows(**params) if hasattr(data.module, "rows") else None
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
        f"trained on, write split='all' into the spec: {_with_split_all(data.parsed)}"
    ]


def _with_split_all(parsed: specs.Spec) -> str:
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
