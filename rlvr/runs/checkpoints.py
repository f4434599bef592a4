"""Write checkpoints that are whole or not there: written under another name, listed, synced, renamed.

The list (`files.json`: name -> bytes, sha256) is written last. A folder without it, or whose files have other sizes or
other contents, is no checkpoint (a torn disk, an interrupted copy, a flipped bit): it is skipped with a message, and
the one before it is taken.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from rlvr.core.console import say
from rlvr.core.files import appear

STAGING = ".saving"
_LIST = "files.json"
_STATE = "trainer_state.json"


def publish(staged: Path, final: Path) -> None:
    """List every file of `staged` with its digest, sync all, and rename the folder to `final`; an older one goes first.

    Raises OSError (a full disk, a read-only folder), leaving earlier checkpoints as they were.
    """
    files = sorted(p for p in staged.rglob("*") if p.is_file() and p.name != _LIST)
    listed = {str(p.relative_to(staged)): {"bytes": p.stat().st_size, "sha256": _digest(p)} for p in files}
    (staged / _LIST).write_text(json.dumps(listed), encoding="utf-8")
    if final.exists():  # training again from an earlier step has reached this one again
        _set_aside(final)
    appear(staged, final)


def flaw(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint folder, or None when it is whole: every file is there, bit for bit."""
    try:
        listed = dict(json.loads((checkpoint / _LIST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return f"it has no readable {_LIST}"
    for name, facts in listed.items():
        path = checkpoint / name
        size, digest = (facts, None) if isinstance(facts, int) else (facts["bytes"], facts["sha256"])  # an older list
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
        if digest is not None and _digest(path) != digest:
            return f"{name} does not hold what was written (its sha256 is another)"
    return None


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step of a folder named checkpoint-N.

    >>> step_of(Path("checkpoints/checkpoint-12"))
    12
    """
    return int(checkpoint.name.rpartition("-")[2])


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a folder, or None; log which ones were skipped, and why."""
    for checkpoint in reversed(_all(folder)):
        wrong = flaw(checkpoint)
        if wrong is None:
            return checkpoint
        say(f"skipping the checkpoint {checkpoint}: {wrong}")
    return None


def set_aside_after(folder: Path, step: int) -> None:
    """Move away the checkpoints after `step`; they are removed when the next whole one has appeared."""
    for checkpoint in _all(folder):
        if step_of(checkpoint) > step:
            _set_aside(checkpoint)


def remove_aside(folder: Path) -> None:
    """Remove what was set aside, and what a process that was killed while saving left."""
    for leftover in folder.glob(f"{STAGING}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def logged(checkpoint: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl up to a whole checkpoint, which holds them too."""
    return json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))["log_history"]


def _all(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", p.name)), key=step_of)


def _set_aside(checkpoint: Path) -> None:
    target = checkpoint.with_name(f"{STAGING}-replaced-{checkpoint.name}")
    shutil.rmtree(target, ignore_errors=True)
    checkpoint.rename(target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
