"""Resume a run to the same numbers as an uninterrupted one; checkpoints are whole or not there.

_get_train_sampler               its own seed, and a position that survives a resume
_save_checkpoint, _get_output_dir, _load_optimizer_and_scheduler
                                 buffered rollouts, step, what is not yet logged, `extra_state` of the class below, and
                                 `resume_state` of every callback that has one
_init_training_state             how often to log, save and evaluate is the command's, not the checkpoint's
_run_epoch                       trains nothing where training is over (transformers: one step too many)
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import rotate_checkpoints

from rlvr.runs import checkpoints
from rlvr.training.epoch_sampler import EpochRepeatSampler
from rlvr.training.forward import TrainingPass

_STATE = "rlvr_state_rank{}.pt"


class ExactResume(TrainingPass):
    """Resume exactly in all of 16 configurations, of which TRL alone manages 3 (tests/test_trl_contract.py)."""

    _tr_loss: torch.Tensor  # transformers', while it trains: the loss since the last logged step

    def __init__(self, *args: Any, **kwargs: Any):
        self._staging: str | None = None  # where a checkpoint is being written
        self._unlogged: tuple[torch.Tensor, int] | None = None  # of the run that goes on: loss, and since which step
        super().__init__(*args, **kwargs)

    def extra_state(self) -> dict[str, Any]:
        """Return what else belongs into a checkpoint: plain values and tensors."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `extra_state` returned."""

    def _get_train_sampler(self, dataset=None):
        sampler = super()._get_train_sampler(dataset)
        seed = sampler.seed if self.args.data_seed is None else self.args.data_seed
        return EpochRepeatSampler(
            sampler.data_source,
            sampler.mini_repeat_count,
            sampler.batch_size,
            sampler.repeat_count,
            sampler.shuffle,
            seed,
        )

    def _get_output_dir(self, trial):
        return self._staging or super()._get_output_dir(trial)

    def _save_checkpoint(self, model, trial):
        """Write the checkpoint under another name, then let it appear whole (rlvr/runs/checkpoints.py)."""
        name = f"checkpoint-{self.state.global_step}"
        folder = Path(self._get_output_dir(trial))
        staged = folder / checkpoints.STAGING
        if self.accelerator.is_main_process:
            shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed while saving
        self.accelerator.wait_for_everyone()
        self._staging = str(staged)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staging = None
        every = self.args.steps_per_generation * self.num_iterations
        state = {
            "step": self._step,
            "buffer": self._buffered_inputs if self._step % every else None,
            "own": self.extra_state(),
            "metrics": {mode: dict(found) for mode, found in self._metrics.items()},  # since the last logged step
            "loss": (self._tr_loss.detach().cpu(), self._globalstep_last_logged),
            "callbacks": {type(c).__name__: c.resume_state() for c in self._callbacks_with_state()},
        }
        torch.save(state, staged / name / _STATE.format(self.accelerator.process_index))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            checkpoints.publish(staged / name, folder / name)
            checkpoints.remove_aside(folder)
            best = folder / f"checkpoint-{self.state.best_global_step}"
            self.state.best_model_checkpoint = str(best) if self.state.best_global_step and best.is_dir() else None
            rotate_checkpoints(str(folder), self.args.save_total_limit, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        path = Path(checkpoint or "") / _STATE.format(self.accelerator.process_index)
        if checkpoint and path.is_file():
            # wherever its tensors lay: a run may move to a machine with or without a GPU
            state = torch.load(path, weights_only=True, map_location=self.accelerator.device)
            self._step, self._buffered_inputs = state["step"], state["buffer"]
            self.load_extra_state(state["own"])
            for mode, found in state["metrics"].items():
                self._metrics[mode].update(found)
            self._unlogged = state.get("loss")  # an older checkpoint has none
            for callback in self._callbacks_with_state():
                if (found := state.get("callbacks", {}).get(type(callback).__name__)) is not None:
                    callback.load_resume_state(found)

    def _callbacks_with_state(self) -> list[Any]:
        return [callback for callback in self.callback_handler.callbacks if hasattr(callback, "resume_state")]

    def _init_training_state(self, max_steps, *args, **kwargs):
        found = super()._init_training_state(max_steps, *args, **kwargs)
        self.state.compute_steps(self.args, max_steps)
        return found

    def _run_epoch(self, *args, **kwargs):
        if self._unlogged is not None:  # transformers begins at 0, so the next line's loss would miss the steps before
            loss, self._globalstep_last_logged = self._unlogged
            self._tr_loss, self._unlogged = loss.to(self._tr_loss.device), None
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        if not self.control.should_training_stop:  # a callback may have said so when training began
            super()._run_epoch(*args, **kwargs)
