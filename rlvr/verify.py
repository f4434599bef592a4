"""Judges answers under a wall-clock limit; failures are counted and named, never a silent zero."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import TimeoutError
from multiprocessing import get_context
from typing import Any

from pebble import ProcessPool

from rlvr import content
from rlvr.problems import problem_set


def _verdict(name: str, answer: str, gold: Any) -> bool:
    """Judge one answer with the set's verifier (in the worker process, or inline)."""
    verdict = content.load("data", name).verify(answer, gold)
    if not isinstance(verdict, bool):
        raise TypeError(f"verify returned {type(verdict).__name__}, not bool")
    return verdict


def _start(name: str) -> None:
    content.load("data", name)


class Verifier:
    """Judges answers of one problem set.

    Sets that declare `INLINE = True` (pure, linear time) are judged in this process. All others run in a worker
    process which is killed when a verification outlasts `timeout` seconds, from any thread (an alarm signal, as
    math-verify uses, works in the main thread only).
    """

    def __init__(self, spec: str, timeout: float = 2.0):
        self.name = content.parse_spec(spec).name
        self.inline = getattr(problem_set(spec), "INLINE", False)
        self.timeout = timeout
        self.errors: Counter[str] = Counter()
        self._pool: ProcessPool | None = None

    def verify_many(self, pairs: Sequence[tuple[str | None, Any]]) -> list[bool | None]:
        """Judge (answer, gold) pairs in order: True, False, or None where the verifier raised or ran out of time.

        No answer (None) is False. Reasons are counted in `errors`.
        """
        if self.inline:
            return [self._settle(lambda a=answer, g=gold: _verdict(self.name, a, g), answer) for answer, gold in pairs]
        if self._pool is None:
            # The import happens as a worker starts, so it does not count against the first answer.
            self._pool = ProcessPool(
                max_workers=1, context=get_context("spawn"), initializer=_start, initargs=(self.name,)
            )
        pending = [
            None if a is None else self._pool.schedule(_verdict, args=(self.name, a, g), timeout=self.timeout)
            for a, g in pairs
        ]
        return [
            self._settle(future.result if future else bool, answer)
            for future, (answer, _) in zip(pending, pairs, strict=True)
        ]

    def _settle(self, judge, answer: str | None) -> bool | None:
        if answer is None:
            return False
        try:
            return judge()
        except TimeoutError:
            self.errors["timeout"] += 1
        except Exception as error:
            self.errors[f"{type(error).__name__}: {error}"[:200]] += 1
        return None

    def close(self) -> None:
        """Stop the worker process, if there is one."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None
