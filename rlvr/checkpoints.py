"""Checkpoints that are whole or not there: written under another name, synced, listed, renamed.

The list (`files.json`: name -> bytes) is written last. A folder without it, or whose files have other sizes, is half a
checkpoint (a torn disk, an interrupted copy): it is skipped with a message, and the one before it is taken.
"""

import json
import os
from pathlib import Path

from rlvr.callbacks import say

STAGING = ".saving"
_LIST = "files.json"


def publish(staged: Path, final: Path) -> None:
    """Sync every file of `staged`, list them, and rename the folder to `final`; an older `final` goes first.

    Raises OSError (a full disk, a read-only folder), leaving earlier checkpoints as they were.
    """
    files = sorted(p for p in staged.rglob("*") if p.is_file() and p.name != _LIST)
    sizes = {str(p.relative_to(staged)): p.stat().st_size for p in files}
    listing = staged / _LIST
    listing.write_text(json.dumps(sizes), encoding="utf-8")
    for path in (*files, listing):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if final.exists():  # training again from an earlier step has reached this one again
        final.rename(final.with_name(f"{STAGING}-replaced-{final.name}"))
    staged.rename(final)
    _sync_folder(final.parent)


def flaw(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint folder, or None when it is whole."""
    try:
        sizes = json.loads((checkpoint / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"it has no readable {_LIST}"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
    return None


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step of a folder named checkpoint-N.

    >>> step_of(Path("checkpoints/checkpoint-12"))
    12
    """
    return int(checkpoint.name.rpartition("-")[2])


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a folder, or None; says which ones it had to skip, and why."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        wrong = flaw(checkpoint)
        if wrong is None:
            return checkpoint
        say(f"skipping the checkpoint {checkpoint}: {wrong}")
    return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
