"""Call a reward term on what it looks at: each completion, each group, the whole batch, or TRL's lists."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rlvr.core.errors import RlvrError
from rlvr.core.event_loop import run_together
from rlvr.core.records import Completion
from rlvr.core.specs import Spec
from rlvr.rewards.signatures import COMPLETION, GROUP, TEXTS

Unit = Sequence[Completion]  # what one call looks at
TokenIds = Sequence[Sequence[int]]


class Callee(Protocol):
    """Say what is read of a term (rlvr.rewards.terms.Term)."""

    @property
    def spec(self) -> Spec:
        """Return what names the function, with its parameters."""

    @property
    def function(self) -> Callable[..., Any]:
        """Return the function."""

    @property
    def sees(self) -> str:
        """Return what one call of it looks at."""

    @property
    def is_async(self) -> bool:
        """Return whether a call gives a coroutine."""

    def checked(self, value: Any, c: Completion) -> float | None:
        """Return a value that the function gave for `c`; RlvrError where it is none."""


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def units(sees: str, completions: Sequence[Completion], group_size: int) -> list[Unit]:
    """Return prompt-major completions cut into what one call of a term looks at.

    Raises RlvrError where a group is not whole.
    """
    if sees == COMPLETION:
        return [[c] for c in completions]
    if sees != GROUP:
        return [completions] if completions else []
    if len(completions) % group_size:
        raise RlvrError(f"{len(completions)} completions are not whole groups of {group_size}.")
    return [completions[i : i + group_size] for i in range(0, len(completions), group_size)]


def values(
    term: Callee, of: Sequence[Unit], completion_ids: TokenIds | None = None, limit: float | None = None
) -> list[list[float | None]]:
    """Return the value of each completion in each unit; RlvrError naming the term and the problem where there is none.

    An async term's calls run together in one event loop, each for `limit` seconds at most; others one after another.
    `completion_ids` are handed on to a TRL-style function, whose one unit they belong to.
    """
    calls = [_call(term, unit, completion_ids) for unit in of]
    together = term.is_async
    results = run_together([_started(call) for call in calls], limit) if together else [_result(call) for call in calls]
    return [_checked(term, unit, result, limit) for unit, result in zip(of, results, strict=True)]


def named(unit: Unit) -> str:
    """Return in words which problem completions answer, or how many there are of several."""
    return f"problem {unit[0].problem.id!r}" if len({c.problem.id for c in unit}) == 1 else f"{len(unit)} completions"


def _call(term: Callee, unit: Unit, completion_ids: TokenIds | None) -> Callable[[], Any]:
    params = dict(term.spec.params)
    if term.sees == TEXTS:
        return lambda: term.function(**_lists(term.function, unit, params, completion_ids))
    return lambda: term.function(unit[0] if term.sees == COMPLETION else list(unit), **params)


def _result(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit or asyncio.CancelledError would end the run without a name
        return error


async def _started(call: Callable[[], Any]) -> Any:
    return await call()


def _checked(term: Callee, unit: Unit, result: Any, limit: float | None) -> list[float | None]:
    where = named(unit)
    if isinstance(result, TimeoutError) and term.is_async and limit is not None:
        late = f"took longer than {limit:g} s. Mend it, or raise --reward_timeout"
        raise RlvrError(f"Reward term {str(term)!r} ({where}) {late}.") from result
    if not isinstance(result, BaseException) and term.sees != COMPLETION:
        try:
            result = list(result)
        except TypeError as error:
            result = error
        if isinstance(result, list) and len(result) != len(unit):
            result = ValueError(f"{len(result)} values for {len(unit)} completion{'s' * (len(unit) > 1)}")
    if isinstance(result, BaseException):
        reason = f"raised {type(result).__name__}: {result}"
        raise RlvrError(f"Reward term {str(term)!r} {reason} ({where}).") from result
    each = [result] if term.sees == COMPLETION else result
    return [term.checked(value, c) for value, c in zip(each, unit, strict=True)]


def _lists(
    function: Callable[..., Any], unit: Unit, params: Mapping[str, Any], completion_ids: TokenIds | None
) -> dict[str, Any]:
    """Return TRL's arguments for a unit: its texts, and the problems' facts as columns (None where one lacks it)."""
    facts = [{"id": p.id, "task": p.task, "answer": p.answer, **p.meta} for p in (c.problem for c in unit)]
    names = list(dict.fromkeys(name for row in facts for name in row))
    arguments = {
        **{name: [row.get(name) for row in facts] for name in names},
        **params,
        "prompts": [c.problem.prompt for c in unit],
        "completions": [[{"role": "assistant", "content": c.text}] for c in unit],
        "completion_ids": completion_ids,
    }
    wanted = inspect.signature(function).parameters.values()
    if lacking := [p.name for p in wanted if p.default is p.empty and p.kind in _BY_NAME and p.name not in arguments]:
        raise LookupError(
            f"it reads the column {lacking[0]!r}, which this problem does not have (columns: {', '.join(names)}; the "
            "gold answer is `answer`)"
        )
    return arguments
