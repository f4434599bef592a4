"""Lock an ablation's folder: one `rlvr ablate` writes there, and no run that a killed one left."""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from rlvr.core.errors import RunError
from rlvr.core.files import take_lock


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock the folder of an ablation, which is made if it is not there.

    Raises RunError when another `rlvr ablate` holds it, or while a run that a killed one started still trains in it.
    """
    try:
        lock = take_lock(folder, "rlvr ablate", "--out")
    except OSError as error:
        raise RunError(f"Cannot write to {folder}: {error.strerror}. Choose another --out.") from error
    try:
        if left := orphans(folder):
            raise RunError(
                f"An earlier rlvr ablate was killed and left running in {folder}: {', '.join(left)}. Wait until they "
                f"have ended, or let them save and stop: kill -TERM {' '.join(str(pid) for pid in left.values())}"
            )
        yield
    finally:
        lock.release()


def note(folder: Path, name: str, pid: int) -> None:
    """Write down which process trains a run, so that a later command can tell whether it still does."""
    with suppress(psutil.Error):
        started = {"pid": pid, "started": psutil.Process(pid).create_time(), "host": platform.node()}
        _file(folder, name).write_text(json.dumps(started), encoding="utf-8")


def forget(folder: Path, name: str) -> None:
    """Remove what `note` wrote: the process has ended."""
    _file(folder, name).unlink(missing_ok=True)


def orphans(folder: Path) -> dict[str, int]:
    """Return run -> process id of the runs that are being trained by processes of this machine."""
    found = {}
    for file in sorted((folder / "logs").glob("*.pid")):
        with suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
            noted = json.loads(file.read_text(encoding="utf-8"))
            process = psutil.Process(noted["pid"])
            same = noted["host"] == platform.node() and abs(process.create_time() - noted["started"]) < 1
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found[file.stem] = noted["pid"]
    return found


def _file(folder: Path, name: str) -> Path:
    return folder / "logs" / f"{name}.pid"
