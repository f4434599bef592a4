"""A process that calls what may hang: every call has a wall-clock limit, and one that outlasts it is killed."""

import signal
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from typing import Any

from pebble import ProcessFuture, ProcessPool


def _start(prepare: Callable[[], Any]) -> None:
    """Prepare a worker: its imports happen before any call's clock starts, and it can be killed inside C code."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler in Python would wait for the C call to return
    prepare()


class Worker:
    """Calls functions in a process of its own, from any thread (an alarm signal works in the main thread only).

    Args:
        timeout: seconds that one call may take.
        prepare: called first in each new process, outside any limit: the imports. Must pickle, as all functions must.
    """

    def __init__(self, timeout: float, prepare: Callable[[], Any]):
        self.timeout, self.prepare = timeout, prepare
        self._pool: ProcessPool | None = None

    @property
    def running(self) -> bool:
        """Whether the process was ever needed."""
        return self._pool is not None

    def call(self, function: Callable[..., Any], arguments: Iterable[tuple]) -> list[ProcessFuture]:
        """Return a future for each tuple of arguments; `result()` raises TimeoutError, or what the call raised."""
        if self._pool is None or not self._pool.active:  # a pool breaks when its idle worker is killed
            self.close()
            context = get_context("spawn")
            self._pool = ProcessPool(max_workers=1, context=context, initializer=_start, initargs=(self.prepare,))
        return [self._pool.schedule(function, args=args, timeout=self.timeout) for args in arguments]

    def close(self) -> None:
        """Stop the process, if there is one."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None
