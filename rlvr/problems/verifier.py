"""Judge answers under a wall-clock limit; failures are counted and named, never a silent zero."""

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rlvr.core import specs
from rlvr.core.console import LOG
from rlvr.core.errors import DataError, SpecError
from rlvr.core.worker import Worker
from rlvr.problems.sets import ProblemSet

PATIENCE = 32  # judged answers without one verdict, after which a run stops


def _judge(file: str, answer: str, gold: Any) -> bool | str:
    """Return the verdict of the set's verifier, or in words why there is none.

    Whatever it raises becomes words: SystemExit or asyncio.CancelledError would end the run. Ctrl-C is the run's own.
    """
    try:
        verdict = specs.import_file("data", file).verify(answer, gold)
        found = verdict.item() if hasattr(verdict, "item") else verdict  # a NumPy or torch scalar
        if isinstance(found, bool):
            return found
        kind = type(verdict)
        return f"TypeError: verify returned {kind.__qualname__ if kind.__module__ == 'builtins' else kind}, not bool"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        try:
            return f"{type(error).__name__}: {error}".removesuffix(": ")
        except Exception:
            return type(error).__name__


class Verifier:
    """Judge answers of one problem set, given by its spec or as a ProblemSet, within a time limit.

    Sets that declare `INLINE = True` (pure, linear time) are judged in this process. All others run in a worker
    process which is killed, with whatever it started, when a verification outlasts `timeout` seconds, from any thread
    (an alarm signal, as math-verify uses, works in the main thread only). Its memory is limited too (`memory_limit`).

    The first failure is told on standard error. DataError is raised with it once `patience` answers were judged without
    a single verdict: nothing could be learned or measured. 0: neither.
    """

    def __init__(self, data: str | ProblemSet, timeout: float = 2.0, patience: int = PATIENCE):
        data = ProblemSet.of(data)
        self.spec, self.file, self.inline = data.spec, data.file, data.inline
        self.timeout, self.patience = timeout, patience
        self.errors: Counter[str] = Counter()
        self._verdicts = self._failures = 0
        self.memory = memory_limit()
        self.worker = Worker(timeout, partial(specs.import_file, "data", self.file), self.memory)

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
            self._verdicts += 1
            return verdict
        self._failed(verdict[:200])
        return None

    def _failed(self, why: str) -> None:
        """Count a failure, log the first one, and raise where every call so far has failed."""
        self.errors[why] += 1
        self._failures += 1
        if self.patience and self._failures == 1:
            told = f"the verifier of {self.spec} gave no verdict: {why}{self._advice(why)}"
            LOG.warning(f"WARNING: {told} Such answers are counted, not scored.")
        if self._failures == self.patience and not self._verdicts:
            reasons = "; ".join(f"{n} x {reason}" for reason, n in self.errors.most_common(3))
            raise DataError(
                f"The verifier of {self.spec} failed on all of its first {self._failures} answers: {reasons}"
                f"{self._advice(why)} Without verdicts there is nothing to learn or to measure. Mend it, then try: "
                f'rlvr check "{self.spec}"'
            )

    def _advice(self, why: str) -> str:
        if why == "timeout":
            return f" after {self.timeout:g} s (--verify_timeout)."
        if why.startswith("MemoryError") and not self.inline and self.memory:
            return f" within {self.memory / 1e9:g} GB (the environment variable RLVR_VERIFIER_GB; 0 is no limit)."
        return "."

    def close(self) -> None:
        """Stop the worker process, if there is one."""
        self.worker.close()


def memory_limit() -> int | None:
    """Return the bytes of data that one verifier process may hold: RLVR_VERIFIER_GB, by default 4 GB; 0 is no limit."""
    text = os.environ.get("RLVR_VERIFIER_GB", "4")
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < 1e9:
        raise SpecError(f"RLVR_VERIFIER_GB must be a number of gigabytes, 0 for no limit, found {text!r}.")
    return int(gigabytes * 1e9) or None
