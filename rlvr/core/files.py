"""Write files and folders so that they appear whole or not at all, and by one process at a time."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rlvr.core.errors import RunError

LOCK = ".lock"  # the file in a folder that one process writes


def take_lock(folder: Path, who: str, option: str) -> FileLock:
    """Take the lock of a folder, which is made if it is not there, and return it to be released.

    Raises RunError where another process holds it (`who`, in words; `option` chooses another folder), OSError where it
    cannot be made. The system drops the lock of a process that dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"Another {who} is writing {folder}. Wait until it has ended, or choose another {option}."
        ) from None
    return lock


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, sync it and rename it over `path`.

    When the block raises (a full disk, say) the temporary file is removed and an older `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_whole(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; an older file stays until then."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def appear(staged: Path, final: Path) -> None:
    """Sync every file of the folder `staged` and rename it to `final`, which must not exist: it is whole or not there.

    Raises OSError (a full disk, a read-only folder).
    """
    for path in staged.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    staged.rename(final)
    _sync_folder(final.parent)


_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # as `replacing` names them


def sweep(folder: Path) -> None:
    """Remove what a process that was killed inside `replacing` left in `folder`; nobody else may be writing there."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
