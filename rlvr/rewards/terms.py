"""Reward terms by name or path, their weighted sum, and any term as a reward function for plain TRL."""

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rlvr.core import specs
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import RlvrError, SpecError
from rlvr.core.records import Completion, Problem
from rlvr.core.specs import Spec, parse_spec
from rlvr.rewards import calls
from rlvr.rewards.signatures import BATCH, GROUP, TEXTS, is_async, what_it_sees
from rlvr.rewards.total import weighted_sum

LARGEST = 1e9  # of a value and of a weight: advantages square their product, and float32 ends at 3.4e38
_TRL_ARGUMENTS = ("prompts", "completions", "completion_ids")


@dataclass(frozen=True)
class Term:
    """Hold a reward term: a spec, and the function that it stands for, loaded when first needed.

    Calling it on a Completion gives a float in [0, 1], or None where the term does not apply. The signature says what a
    function looks at (signatures.py): `f(c, ...)` one completion; `f(group, ...)` the completions of one problem and
    `f(batch, ...)` those of a generation batch, a list of floats for each of them; `f(completions, **kwargs)` is TRL's
    style, sees only texts and the problems' columns (answer, task, id and their meta), those of a batch at once as with
    TRL, and may return any finite float up to 1e9 in size. Each may be `async def`. Pickles as its spec (a relative
    path must still be right there).

    >>> Term(parse_spec("correct"))(Completion(Problem("1", [], "4"), "4", correct=True))
    1.0
    """

    spec: Spec

    def __str__(self) -> str:
        return str(self.spec)

    def __reduce__(self):
        return Term, (self.spec,)  # without what was found: functions of content files do not pickle

    @property
    def name(self) -> str:
        """Return the name of the function, under which the term is logged."""
        return self.spec.attr or Path(self.spec.name).stem

    @cached_property
    def function(self) -> Callable[..., Any]:
        """Return the function that the spec names; SpecError when it is missing or does not take the parameters."""
        module = specs.import_file("rewards", self.spec.name)
        function = getattr(module, self.name, None)
        if not callable(function):
            raise SpecError(
                f"{module.__file__} has no function {self.name!r}. Name it like the file, or write "
                f"{self.spec.name}:FUNCTION."
            )
        params = dict(self.spec.params)
        try:
            signature = inspect.signature(function)
            if what_it_sees(function) == TEXTS:
                signature.bind_partial(**dict.fromkeys(_TRL_ARGUMENTS), **params)
            else:
                signature.bind(None, **params)
        except (TypeError, ValueError) as error:
            raise SpecError(
                f"Reward term {str(self)!r} does not fit {module.__file__}: {error}. It needs a first parameter "
                "`c`, `group` or `batch` (and keyword parameters), or `completions` and **kwargs as TRL's have."
            ) from None
        return function

    @cached_property
    def sees(self) -> str:
        """Return what one call looks at: "completion", "group", "batch", or "texts" (TRL's lists)."""
        return what_it_sees(self.function)

    @property
    def trl_style(self) -> bool:
        """Return whether the function takes lists of texts, as TRL's do, rather than Completions."""
        return self.sees == TEXTS

    @cached_property
    def is_async(self) -> bool:
        """Return whether the function is a coroutine function; its calls run together in one event loop."""
        return is_async(self.function)

    def __call__(self, c: Completion) -> float | None:
        """Return the value for `c`; RlvrError naming the term and the problem when there is no valid one.

        A term that sees a group or a batch has none for a completion by itself: ask `values`.
        """
        if self.sees in (GROUP, BATCH):
            raise RlvrError(
                f"Reward term {str(self)!r} sees a whole {self.sees}, so one completion by itself has no value. Call "
                "term.values(completions, group_size) with all of them."
            )
        return calls.values(self, [[c]])[0][0]

    def values(self, completions: Sequence[Completion], group_size: int = 1) -> list[float | None]:
        """Return the value of each completion; they stand problem by problem, `group_size` of each.

        >>> from rlvr.core.records import Problem
        >>> wrong, right = (Completion(Problem("1", [], "4"), "", correct=verdict) for verdict in (False, True))
        >>> Term(parse_spec("correct")).values([wrong, right], group_size=2)
        [0.0, 1.0]
        """
        of = calls.units(self.sees, completions, group_size)
        return [value for unit in calls.values(self, of) for value in unit]

    def checked(self, value: Any, c: Completion) -> float | None:
        """Return a value that the function gave for `c` as a float; RlvrError where it is not in the term's range."""
        value = value.item() if hasattr(value, "item") else value  # a NumPy or torch scalar
        if value is None:
            return None
        low, high = (-LARGEST, LARGEST) if self.trl_style else (0, 1)
        if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
            wanted = f"a finite number, at most {LARGEST:.0e} in size" if self.trl_style else "a number in [0, 1]"
            raise RlvrError(
                f"Reward term {str(self)!r} returned {value!r} (problem {c.problem.id!r}). "
                f"It must return {wanted}, or None where it does not apply."
            )
        return float(value)


def load_terms(weights: Mapping[str, float]) -> dict[Term, float]:
    """Return {term: weight} for {spec: weight}, in order; SpecError for anything that cannot work later.

    Weights are finite, not negative, and at least one is positive; a term of weight 0 is only logged.

    >>> [(str(term), weight) for term, weight in load_terms({"correct": 1, "length(target=8)": 0.1}).items()]
    [('correct', 1.0), ('length(target=8)', 0.1)]
    """
    terms: dict[Term, float] = {}
    for text, weight in weights.items():
        term = _load(str(text))
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= LARGEST:  # NaN too
            largest = f" and at most {LARGEST:.0e}" if number and weight > LARGEST else ""
            raise SpecError(f"The weight of {str(text)!r} must be a number >= 0{largest}, got {weight!r}.")
        if term.name in {other.name for other in terms}:
            raise SpecError(
                f"Two reward terms are named {term.name!r}, and their logs would mix. Copy one to a file of "
                "your own (`rlvr cp`) and give its function another name."
            )
        terms[term] = float(weight)
    if not any(terms.values()):
        raise SpecError(f"At least one reward term needs a weight above 0, got {dict(weights)!r}.")
    return terms


def _load(text: str) -> Term:
    term = Term(parse_spec(text))
    try:
        hash(term)
    except TypeError:
        raise SpecError(f"The parameters of {text!r} must be numbers, strings, lists, True, False or None.") from None
    term.function  # noqa: B018  # looked up now, so that a mistake shows before a model is loaded
    if not term.spec.is_path:  # ours take any completion; a user's may need facts that only real problems have
        try:
            term(Completion(Problem("probe", [], ""), "", format_ok=True, n_tokens=1))
        except RlvrError as error:
            raise SpecError(f"Wrong parameters in {text!r}: {error.__cause__ or error}.") from None
    return term


def reward(terms: Mapping[Term, float], c: Completion) -> tuple[dict[str, float | None], float]:
    """Return each term's value by name, and their weighted sum; None adds nothing.

    The sum is NaN (no score) when every term that weighs something is None. Raises RlvrError as Term does.

    >>> reward(load_terms({"correct": 1, "format": 0.5}), Completion(Problem("1", [], "4"), "", correct=True))
    ({'correct': 1.0, 'format': 0.0}, 1.0)
    """
    values = {term: term(c) for term in sorted(terms, key=str)}  # float sums depend on the order
    counts = any(terms[term] and value is not None for term, value in values.items())
    known = np.array([math.nan if value is None else value for value in values.values()])
    total = weighted_sum(known, np.array([terms[term] for term in values])) if counts else math.nan
    return {term.name: values[term] for term in terms}, float(total)


def as_trl_reward(
    term: Term | str, tags: AnswerFormat | str | Sequence[str], verify: Callable[[str, Any], bool] | None = None
) -> Callable[..., list[float | None]]:
    """Return `term` as a reward function for plain TRL trainers (`reward_funcs=[...]`).

    Args:
        term: a term, or its spec.
        tags: the tags that the prompts ask for (see `rlvr.core.parse.system_prompt`), or another form of answer: an
            AnswerFormat, or its spec, such as "boxed".
        verify: (answer, gold) -> bool. It needs the data set to have a column `answer`; if it raises, the
            completion counts as not judged. Without it none is, so terms that need the verdict give None.

    The column `id` names problems, `task` their kind; further columns become the problem's meta. A group is a run of
    equal prompts, as TRL hands them out.

    >>> score = as_trl_reward("correct", ("answer",), verify=lambda answer, gold: answer == gold)
    >>> score(["6 * 7?"], ["<answer>42</answer>"], answer=["42"])
    [1.0]
    """
    term = _load(term) if isinstance(term, str) else term
    answers = AnswerFormat.of(tags)

    def judge(answer: str | None, gold: Any) -> bool | None:
        if verify is None:
            return None
        try:
            return answer is not None and bool(verify(answer, gold))
        except KeyboardInterrupt:
            raise
        except BaseException:  # SystemExit or asyncio.CancelledError would end the run
            return None

    def score(prompts, completions, completion_ids=None, **columns) -> list[float | None]:
        if verify is not None and "answer" not in columns:
            others = ", ".join(columns) or "none"
            raise RlvrError(f"Verifying needs a column 'answer' in the data set; its other columns: {others}.")
        judged = completions_of(prompts, completions, completion_ids, columns, answers, judge)
        if term.sees != GROUP:
            return term.values(judged)
        groups = [list(group) for _, group in itertools.groupby(judged, lambda c: c.problem.prompt)]
        return [value for group in groups for value in term.values(group, len(group))]

    score.__name__ = term.name
    return score


def completions_of(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None,
    columns: Mapping[str, Any],
    tags: AnswerFormat | str | Sequence[str],
    judge: Callable[[str | None, Any], bool | None] = lambda answer, gold: None,
) -> list[Completion]:
    """Return the completions that TRL gives to a reward function, with verdicts from `judge` (None: not judged).

    The columns `id`, `answer` and `task` describe the problem, all others are its meta.

    >>> completions_of(["6 * 7?"], ["<answer>42</answer>"], None, {"id": [7]}, ("answer",))[0].answer
    '42'
    """
    n, answers = len(completions), AnswerFormat.of(tags)
    # What TRL adds beside the columns (trainer_state, log_metric, ...) is not one value per completion.
    rows = {key: values for key, values in columns.items() if isinstance(values, list) and len(values) == n}
    judged = []
    for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        row = {key: column[i] for key, column in rows.items()}
        problem = Problem(
            id=str(row.pop("id", i)),
            prompt=[{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
            answer=row.pop("answer", None),
            task=row.pop("task", ""),
            meta=row,
        )
        text = completion if isinstance(completion, str) else completion[-1]["content"] or ""
        parsed = answers.parse(text, prompt if isinstance(prompt, str) else None)
        verdict = judge(parsed.answer, problem.answer)
        n_tokens = len(completion_ids[i]) if completion_ids is not None else 0
        judged.append(Completion(problem, text, parsed.answer, parsed.confidence, parsed.format_ok, verdict, n_tokens))
    return judged
