"""Run tasks that are not `rlvr train`, each once: a row is appended as a task ends, and what has a row is skipped.

Trained arms go through `rlvr ablate`, which does the same for run directories.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlvr.core.files import take_lock

Row = dict[str, Any]


def run_tasks(
    file: Path, tasks: Iterable[Mapping[str, Any]], function: Callable[..., Mapping[str, Any]], jobs: int = 1
) -> list[Row]:
    """Run each task that `file` has no row of, append its row, and return the rows of all tasks in their order.

    Args:
        file: JSON lines; a line that a killed process left half written is dropped, its task runs again.
        tasks: keyword arguments of `function`, each a mapping of texts and numbers: {"arm": "psr", "seed": 0}.
        function: returns what to store of a task, as JSON has it; at the top level of a file if `jobs` is above 1.
        jobs: tasks at a time, in processes of their own that share the cores; 1: in this process.

    A row is the task, the results and `seconds`. An error ends it after the rows of what had finished; the same call
    goes on. One process at a time writes a folder.
    """
    tasks = [dict(task) for task in tasks]
    lock = take_lock(file.parent, "rerun", "folder")
    try:
        done = _mended(file)
        waiting = [task for task in tasks if _key(task) not in {_key(row, task) for row in done}]
        for i, row in enumerate(_run(waiting, function, jobs), 1):
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row, separators=(",", ":")) + "\n")
            done.append(row)
            shown = {name: row[name] for name in waiting[0]}
            print(f"[{i}/{len(waiting)}] {shown}: {row['seconds']} s", flush=True)
    finally:
        lock.release()
    return [next(row for row in done if _key(row, task) == _key(task)) for task in tasks]


@contextmanager
def run_all_again(
    scratch: Path, tasks: Iterable[Mapping[str, Any]], function: Callable[..., Mapping[str, Any]], jobs: int = 1
) -> Iterator[list[Row]]:
    """Run every task afresh, for results that are stored as a whole: yield the rows, and remove them after the block.

    Interrupted, the same call goes on from the rows in `scratch`; after a block that ends well it begins again.
    """
    file = scratch / "rows.jsonl"
    yield run_tasks(file, tasks, function, jobs)
    file.unlink()


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a file; none where it is missing."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _run(tasks: list[Row], function: Callable[..., Mapping[str, Any]], jobs: int) -> Iterable[Row]:
    if jobs == 1:
        for task in tasks:
            yield _timed(function, task)
        return
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))  # read by the new processes
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_timed, function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _timed(function: Callable[..., Mapping[str, Any]], task: Row) -> Row:
    start = time.perf_counter()
    results = function(**task)
    return {**task, **results, "seconds": round(time.perf_counter() - start, 1)}


def _key(row: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    return json.dumps({name: row.get(name) for name in (row if names is None else names)}, sort_keys=True)


def _mended(file: Path) -> list[Row]:
    """Return the rows of a file, whose last line is cut off first where it was not written to its end."""
    if file.is_file():
        text = file.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            os.truncate(file, len(whole))
    return read_rows(file)
