"""Call reward terms as the trainer does: a user's term that hangs or dies ends the run with its name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Any

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.console import say
from rlvr.core.errors import RlvrError
from rlvr.core.records import Completion
from rlvr.core.worker import ProcessExpired, Worker
from rlvr.rewards import calls
from rlvr.rewards.audit import Audit, assert_safe
from rlvr.rewards.signatures import BATCH, GROUP
from rlvr.rewards.terms import Term

Values = list[float | None]
Call = Callable[[Sequence[calls.Unit]], list[Values]]
_GRACE = 1.0  # seconds

JUDGED = "record"  # the column of TRL's rows with the Completion of each; your reward functions may read it too


def term_function(
    term: Term, worker: Worker, of_all: Callable[[str, list[Completion], Call], Values] | None = None
) -> Callable[..., Values]:
    """Return the TRL reward function of a term: it reads the completions that the trainer made.

    A term of the user's own runs in the worker, each call under its limit; an async term's calls run there together.
    The built-in ones are pure and linear in the text. `of_all` cuts the completions of all processes into what a term
    sees where that is more than one completion (training/whole_groups.py), and returns the values of this process's.
    """

    def call(units: Sequence[calls.Unit], ids: calls.TokenIds | None = None) -> list[Values]:
        return calls.values(term, units, ids) if not term.spec.is_path else _within(term, worker, units, ids)

    def reward(**columns: Any) -> Values:
        completions: list[Completion] = columns[JUDGED]
        if term.sees in (GROUP, BATCH):
            assert of_all is not None, "only the trainer knows the groups"
            return of_all(term.sees, completions, call)
        values = call(calls.units(term.sees, completions, 1), columns.get("completion_ids"))
        return [value for unit in values for value in unit]

    reward.__name__ = term.name
    return reward


def _within(term: Term, worker: Worker, units: Sequence[calls.Unit], ids: calls.TokenIds | None = None) -> list[Values]:
    """Return the values of each unit from the worker's process; RlvrError naming the problem where a call hangs."""
    limit, many = worker.timeout, [units] if term.is_async else [[unit] for unit in units]
    arguments = [(term, some, ids, limit if term.is_async else None) for some in many]
    # A late call of an async term is told by name inside, before the whole process is given up.
    results = worker.call(calls.values, arguments, limit + _GRACE if term.is_async else None)
    each = []
    for some, result in zip(many, results, strict=True):
        what = f"Reward term {str(term)!r} ({calls.named([c for unit in some for c in unit])})"
        each += _result(result, what, limit)
    return each


def _result(call: Future, what: str, timeout: float) -> Any:
    """Return what a call returned, or raise what it raised; RlvrError where it hung or ended its process."""
    try:
        return call.result()
    except TimeoutError:
        raise RlvrError(f"{what} took longer than {timeout:g} s. Mend it, or raise --reward_timeout.") from None
    except ProcessExpired as error:
        raise RlvrError(f"{what} ended its process (exit status {error.exitcode}). Mend it.") from None


def term_worker(terms: Iterable[Term], timeout: float) -> Worker:
    """Return the process for the user's own among the terms, each call limited to `timeout` seconds."""
    return Worker(timeout, partial(_load, [term for term in terms if term.spec.is_path]))


def audit_within(
    terms: Mapping[Term, float],
    tags: AnswerFormat | str | Sequence[str],
    allow_hackable: bool,
    timeout: float,
    *example: Any,
) -> Audit:
    """Audit the terms (`assert_safe`) and say what was not asked; the user's own in a process killed after `timeout`.

    `example`: a problem and its gold text, for terms that read the columns of real problems; else one is made up.
    """
    arguments = (terms, tags, allow_hackable, *example)
    if names := ", ".join(repr(str(term)) for term in terms if term.spec.is_path):
        with closing(term_worker(terms, timeout)) as worker:
            (call,) = worker.call(assert_safe, [arguments])
            result = _result(call, f"Reward term {names} (on a made-up completion)", timeout)
    else:
        result = assert_safe(*arguments)
    for note in result.notes:
        say(f"the audit of the rewards: {note}")
    return result


def _load(terms: Sequence[Term]) -> None:
    for term in terms:
        term.function  # noqa: B018  # the imports, before the clock starts
