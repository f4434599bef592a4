"""Judges answers under a wall-clock limit; failures are counted and named, never a silent zero."""

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError
from functools import partial
from multiprocessing import get_context
from typing import Any

from pebble import ProcessPool

from rlvr import content
from rlvr.problems import problem_set


def _judge(file: str, answer: str, gold: Any) -> bool | str:
    """Return the verdict of the set's verifier, or in words why there is none.

    Exceptions stay on this side: one that cannot be unpickled would break the pool, and SystemExit would end the run.
    """
    try:
        verdict = content.load("data", file).verify(answer, gold)
        return (
            verdict if isinstance(verdict, bool) else f"TypeError: verify returned {type(verdict).__name__}, not bool"
        )
    except (Exception, SystemExit) as error:
        try:
            return f"{type(error).__name__}: {error}"
        except Exception:
            return type(error).__name__


def _start(file: str) -> None:
    """Prepare a worker: its imports happen before any answer's clock starts, and it can be killed inside C code."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler in Python would wait for the C call to return
    content.load("data", file)


class Verifier:
    """Judges answers of one problem set.

    Sets that declare `INLINE = True` (pure, linear time) are judged in this process. All others run in a worker
    process which is killed when a verification outlasts `timeout` seconds, from any thread (an alarm signal, as
    math-verify uses, works in the main thread only).
    """

    def __init__(self, spec: str, timeout: float = 2.0):
        self.file = str(content.find("data", content.parse_spec(spec).name))
        self.inline = getattr(problem_set(spec), "INLINE", False)
        self.timeout = timeout
        self.errors: Counter[str] = Counter()
        self._pool: ProcessPool | None = None

    def verify_many(self, pairs: Sequence[tuple[str | None, Any]]) -> list[bool | None]:
        """Judge (answer, gold) pairs in order: True, False, or None where the verifier raised or ran out of time.

        No answer (None) is False. Reasons are counted in `errors`.
        """
        if self.inline:
            return [a is not None and self._settle(partial(_judge, self.file, a, g)) for a, g in pairs]
        pool = self._open()
        pending = [
            None if a is None else pool.schedule(_judge, args=(self.file, a, g), timeout=self.timeout) for a, g in pairs
        ]
        return [future is not None and self._settle(future.result) for future in pending]

    def _open(self) -> ProcessPool:
        if self._pool is None or not self._pool.active:  # a pool breaks when its idle worker is killed
            self.close()
            self._pool = ProcessPool(
                max_workers=1, context=get_context("spawn"), initializer=_start, initargs=(self.file,)
            )
        return self._pool

    def _settle(self, judge: Callable[[], bool | str]) -> bool | None:
        try:
            verdict = judge()
        except TimeoutError:
            verdict = "timeout"
        except Exception as error:  # the worker died, or the gold answer cannot travel to it
            verdict = f"{type(error).__name__}: {error}"
        if isinstance(verdict, bool):
            return verdict
        self.errors[verdict[:200]] += 1
        return None

    def close(self) -> None:
        """Stop the worker process, if there is one."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None
