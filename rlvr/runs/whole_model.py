"""Save a trained model so that the run directory holds all of it or nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

from accelerate import PartialState

from rlvr.core.files import appear
from rlvr.runs.directory import RunDir


def save_whole(save: Callable[[str], None], run: RunDir, target: Path | None = None) -> None:
    """Let `save` write the model into a folder beside its place, then move it there, all processes together.

    Its place is `run.model`, or `target`, which must not exist.
    """
    state = PartialState()
    if state.is_main_process:
        shutil.rmtree(run.staging, ignore_errors=True)  # of a run that was killed while saving
    state.wait_for_everyone()
    save(str(run.staging))
    state.wait_for_everyone()
    if state.is_main_process:
        place = run.model if target is None else target
        place.parent.mkdir(exist_ok=True)
        appear(run.staging, place)
    state.wait_for_everyone()
