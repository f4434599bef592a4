"""Call functions in another process: every call has a wall-clock limit, and one that outlasts it is killed.

It leads a process group of its own: what a call started in turn is killed with it, and both die with the parent.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any

from rlvr.core.errors import RlvrError

_POLL = 0.05  # seconds between two looks at whether the process still lives; an answer is read at once
_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
_spawning = threading.Lock()
_NAME = "rlvr worker"


class ProcessExpired(Exception):
    """Report that the process ended during a call; `exitcode` is its exit status, or minus a signal's number."""

    exitcode: int | None = None


class Worker:
    """Call functions in a process of its own, from any thread (an alarm signal works in the main thread only).

    The process never runs the caller's script, so it starts from a script without a main guard, from a heredoc and in
    a notebook; in return, nothing that such a script defines can travel to it.

    Args:
        timeout: seconds that one call may take.
        prepare: called first in each new process, outside any limit: the imports. Must pickle, as all functions must.
        memory: bytes that the process may take for its data (RLIMIT_DATA, which Linux enforces); a call that wants more
            gets a MemoryError. None: no limit.
    """

    def __init__(self, timeout: float, prepare: Callable[[], Any], memory: int | None = None):
        self.timeout, self.prepare, self.memory = timeout, prepare, memory
        self._process: Any = None
        self._one_call = threading.Lock()

    @property
    def running(self) -> bool:
        """Return whether the process was ever needed."""
        return self._process is not None

    def call(
        self, function: Callable[..., Any], arguments: Iterable[tuple], timeout: float | None = None
    ) -> Iterator[Future]:
        """Yield a future that is done for each tuple of arguments, one call after another, as they are asked for.

        Each call may take `timeout` seconds; None takes the worker's own limit.
        `result()` returns the value, or raises TimeoutError, ProcessExpired, or what the call raised. What `prepare`
        raises is nobody's answer: it is raised here.
        """
        for args in arguments:
            future: Future = Future()
            with self._one_call:
                try:
                    message = ForkingPickler.dumps((function, args))
                except Exception as error:
                    future.set_exception(error)
                else:
                    self._start()
                    try:
                        future.set_result(self._ask(message, self.timeout if timeout is None else timeout))
                    except Exception as error:
                        future.set_exception(error)
            yield future

    def close(self) -> None:
        """Kill the process and all that it started, if there is one."""
        if self._process is not None:
            self._kill()
            self._connection.close()
            self._process = None

    def _start(self) -> None:
        """Start a prepared process where none is there."""
        if self._process is not None and self._process.is_alive():
            return
        self.close()
        self._connection, theirs = _SPAWN.Pipe()
        process: Any = _SPAWN.Process(target=_serve, args=(theirs, self.memory), name=_NAME)
        with _spawning, _script_set_aside():
            process.start()
        theirs.close()
        self._process = process
        self._kill = Finalize(self, _kill, args=(process,), exitpriority=10)  # before Python waits for its children
        try:
            self._ask(ForkingPickler.dumps((_prepared, (self.prepare,))), None)
        except ProcessExpired as error:
            raise RlvrError(f"A worker process ended while it was starting (exit status {error.exitcode}).") from None
        except BaseException:
            self.close()
            raise

    def _ask(self, message: Any, timeout: float | None) -> Any:
        """Send one call; return what it returns, raise what it raises. A process that does not answer is killed."""
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        try:
            self._connection.send_bytes(message)
            while not self._connection.poll(min(_POLL, max(0.0, end - time.monotonic()))):
                if not self._process.is_alive() and not self._connection.poll():
                    raise EOFError
                if time.monotonic() >= end:
                    raise TimeoutError
            reply = self._connection.recv_bytes()
        except TimeoutError:
            self.close()
            raise
        except (EOFError, OSError):
            self._process.join()
            expired = ProcessExpired("Abnormal termination")
            expired.exitcode = self._process.exitcode
            self.close()
            raise expired from None
        returned, value = ForkingPickler.loads(reply)
        if returned:
            return value
        raise value


def is_worker() -> bool:
    """Return whether this is the process of a Worker."""
    return multiprocessing.current_process().name == _NAME


def _serve(connection: Connection, memory: int | None) -> None:
    """Answer calls until the parent is gone."""
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if memory is not None:
        _limit_memory(memory)
    with suppress(EOFError):
        while True:
            connection.send_bytes(_reply(connection.recv_bytes()))


def _reply(message: Any) -> Any:
    """Run one pickled call; return (True, its value) or (False, its exception), pickled.

    Nothing that a call raises ends this process or, later, the parent: SystemExit and its like travel as words, and so
    does what cannot be pickled and unpickled.
    """
    try:
        function, args = ForkingPickler.loads(message)
        return ForkingPickler.dumps((True, function(*args)))
    except Exception as error:
        with suppress(Exception):
            error.add_note("In the worker process:\n" + "".join(traceback.format_exception(error)))
            ForkingPickler.loads(reply := ForkingPickler.dumps((False, error)))
            return reply
        words = traceback.format_exception_only(error)
    except BaseException as error:
        words = traceback.format_exception_only(error)
    return ForkingPickler.dumps((False, RuntimeError(words[0].strip())))


def _prepared(prepare: Callable[[], Any]) -> None:
    prepare()  # what it returns, such as a module, need not travel


def _limit_memory(limit: int) -> None:
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _kill_group(os.getpid())
    os._exit(1)


def _kill(process: Any) -> None:
    """Kill a worker and whatever its calls started; it may be dead already."""
    _kill_group(process.pid)
    process.kill()  # it may not lead a group yet
    process.join()


def _kill_group(leader: int) -> None:
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


@contextmanager
def _script_set_aside() -> Iterator[None]:
    """Hide where the caller's script came from: multiprocessing would run it again in the new process.

    Without a main guard that starts workers without end, and a heredoc has no file to run.
    """
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(hidden)
