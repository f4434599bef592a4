"""Judges answers under a wall-clock limit; failures are counted and named, never a silent zero."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError
from functools import partial
from typing import Any

from rlvr import content
from rlvr.problems import problem_set
from rlvr.worker import Worker


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


class Verifier:
    """Judges answers of one problem set.

    Sets that declare `INLINE = True` (pure, linear time) are judged in this process. All others run in a worker
    process which is killed when a verification outlasts `timeout` seconds, from any thread (an alarm signal, as
    math-verify uses, works in the main thread only).
    """

    def __init__(self, spec: str, timeout: float = 2.0):
        self.file = str(content.find("data", content.parse_spec(spec).name))
        self.inline = getattr(problem_set(spec), "INLINE", False)
        self.errors: Counter[str] = Counter()
        self.worker = Worker(timeout, partial(content.load, "data", self.file))

    def verify_many(self, pairs: Sequence[tuple[str | None, Any]]) -> list[bool | None]:
        """Judge (answer, gold) pairs in order: True, False, or None where the verifier raised or ran out of time.

        No answer (None) is False. Reasons are counted in `errors`.
        """
        if self.inline:
            return [a is not None and self._settle(partial(_judge, self.file, a, g)) for a, g in pairs]
        judged = iter(self.worker.call(_judge, [(self.file, a, g) for a, g in pairs if a is not None]))
        return [a is not None and self._settle(next(judged).result) for a, _ in pairs]

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
        self.worker.close()
