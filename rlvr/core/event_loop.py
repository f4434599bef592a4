"""Run coroutines together in one event loop of this process, from any thread, also where another loop runs already."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

_starting = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run_together(coroutines: Sequence[Coroutine[Any, Any, Any]], limit: float | None = None) -> list[Any]:
    """Return what each coroutine returned, or the exception that it raised, in their order; all run at once.

    The loop is the same for every call, as clients that keep connections open want it. After `limit` seconds those that
    have not ended are cancelled and give a TimeoutError; one that never waits cannot be cancelled.

    >>> async def double(x): return 2 * x
    >>> run_together([double(3), double(1)])
    [6, 2]
    """
    return asyncio.run_coroutine_threadsafe(_all(coroutines, limit), _running()).result()


async def _all(coroutines: Sequence[Coroutine[Any, Any, Any]], limit: float | None) -> list[Any]:
    tasks = [asyncio.ensure_future(_caught(coroutine)) for coroutine in coroutines]
    if not tasks:
        return []
    _, late = await asyncio.wait(tasks, timeout=limit)
    for task in late:
        task.cancel()
    return [TimeoutError() if task in late else task.result() for task in tasks]


async def _caught(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except BaseException as error:  # SystemExit in a task would end the loop for all
        return error


def _running() -> asyncio.AbstractEventLoop:
    """Return the loop, started in a thread of its own when it is first needed."""
    global _loop
    with _starting:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="rlvr event loop", daemon=True).start()
    return _loop
