"""Call reward terms as the trainer does: a user's term that hangs or dies ends the run with its name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Any

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import RlvrError
from rlvr.core.records import Completion
from rlvr.core.worker import ProcessExpired, Worker
from rlvr.rewards.audit import Audit, assert_safe
from rlvr.rewards.terms import Term

JUDGED = "record"  # the column of TRL's rows with the Completion of each; your reward functions may read it too


def term_function(term: Term, worker: Worker) -> Callable[..., list[float | None]]:
    """Return the TRL reward function of a term: it reads the completions that the trainer made.

    A term of the user's own runs in the worker, under its limit; the built-in ones are pure and linear in the text.
    """

    def reward(**columns: Any) -> list[float | None]:
        completions: list[Completion] = columns[JUDGED]
        if not term.spec.is_path:
            return [term(c) for c in completions]
        calls = worker.call(term, zip(completions))
        return [
            _result(call, f"Reward term {str(term)!r} (problem {c.problem.id!r})", worker.timeout)
            for c, call in zip(completions, calls, strict=True)
        ]

    reward.__name__ = term.name
    return reward


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
    terms: Mapping[Term, float], tags: AnswerFormat | str | Sequence[str], allow_hackable: bool, timeout: float
) -> Audit:
    """Audit the terms (`assert_safe`); where some are the user's own, in a process that is killed after `timeout`."""
    if names := ", ".join(repr(str(term)) for term in terms if term.spec.is_path):
        with closing(term_worker(terms, timeout)) as worker:
            (call,) = worker.call(assert_safe, [(terms, tags, allow_hackable)])
            return _result(call, f"Reward term {names} (on a made-up completion)", timeout)
    return assert_safe(terms, tags, allow_hackable)


def _load(terms: Sequence[Term]) -> None:
    for term in terms:
        term.function  # noqa: B018  # the imports, before the clock starts
