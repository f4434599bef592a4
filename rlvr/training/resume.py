"""Resume a run to the same numbers as an uninterrupted one; checkpoints are whole or not there.

Exact in all of 16 configurations, of which TRL alone manages 3 (tests/test_trl_contract.py). Beside what transformers
saves, each process keeps a `ResumeState`; the sampler of epoch_sampler.py and the callbacks bring the rest.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor
from transformers import TrainerState
from transformers.trainer_utils import rotate_checkpoints

from rlvr.runs import checkpoints

_STATE = "rlvr_state_rank{}.pt"


class Processes(Protocol):
    """Say which process of a launch this is, and wait for the others (accelerate's PartialState does)."""

    process_index: int
    is_main_process: bool

    def wait_for_everyone(self) -> None:
        """Return when all processes have come here."""


class ResumeState(TypedDict, total=False):
    """Hold what a process keeps in a checkpoint: plain values and tensors; older ones lack the last two.

    `step` counts micro-batches, `buffer` holds the rollouts that are still to be trained on, `own` what `extra_state`
    returned, `metrics` and `loss` what is not logged yet (the loss, and since which step), `callbacks` their states.
    """

    step: int
    buffer: list[dict[str, Any]] | None
    own: dict[str, Any]
    metrics: dict[str, dict[str, list[float]]]
    loss: tuple[Tensor, int]
    callbacks: dict[str, Any]


@dataclass
class Checkpoints:
    """Write each checkpoint under another name and let it appear whole (rlvr/runs/checkpoints.py).

    `staging` is where a checkpoint is being written; None at any other time. `unlogged` is the loss of the run that
    goes on, until the trainer has taken it.
    """

    processes: Processes
    staging: str | None = field(default=None, init=False)
    unlogged: tuple[Tensor, int] | None = field(default=None, init=False)

    @contextmanager
    def publish(self, folder: Path, state: TrainerState, limit: int | None) -> Iterator[Path]:
        """Yield the folder into which checkpoint-STEP is to be written, and publish it afterwards.

        At most `limit` checkpoints stay, the best and the newest among them.
        """
        name, staged = f"checkpoint-{state.global_step}", folder / checkpoints.STAGING
        if self.processes.is_main_process:
            shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed while saving
        self.processes.wait_for_everyone()
        self.staging = str(staged)
        try:
            yield staged / name
        finally:
            self.staging = None
        self.processes.wait_for_everyone()
        if self.processes.is_main_process:
            checkpoints.publish(staged / name, folder / name)
            checkpoints.remove_aside(folder)
            best = folder / f"checkpoint-{state.best_global_step}"
            state.best_model_checkpoint = str(best) if state.best_global_step and best.is_dir() else None
            rotate_checkpoints(str(folder), limit, state.best_model_checkpoint)
        self.processes.wait_for_everyone()

    def write(self, checkpoint: Path, state: ResumeState) -> None:
        """Write this process's state into a checkpoint folder."""
        torch.save(state, checkpoint / _STATE.format(self.processes.process_index))

    def read(self, checkpoint: str | None, device: torch.device) -> ResumeState | None:
        """Return this process's state of a checkpoint, on `device`; None where it holds none of ours."""
        path = Path(checkpoint or "") / _STATE.format(self.processes.process_index)
        if not (checkpoint and path.is_file()):
            return None
        # wherever its tensors lay: a run may move to a machine with or without a GPU
        state: ResumeState = torch.load(path, weights_only=True, map_location=device)
        self.unlogged = state.get("loss")
        return state

    def take_unlogged(self) -> tuple[Tensor, int] | None:
        """Return, once, the loss that the run before this one had not logged, and since which step."""
        unlogged, self.unlogged = self.unlogged, None
        return unlogged


def callback_states(callbacks: Iterable[Any]) -> dict[str, Any]:
    """Return the state of every callback that has one, by the name of its class."""
    return {type(c).__name__: c.resume_state() for c in callbacks if hasattr(c, "resume_state")}


def load_callback_states(callbacks: Iterable[Any], states: dict[str, Any]) -> None:
    """Restore what `callback_states` returned; a callback that is new keeps its start."""
    for callback in callbacks:
        state = states.get(type(callback).__name__) if hasattr(callback, "resume_state") else None
        if state is not None:
            callback.load_resume_state(state)
