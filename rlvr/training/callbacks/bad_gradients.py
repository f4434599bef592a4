"""Leave out and count updates whose gradient is not finite; several in a row end the run."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.core.console import say
from rlvr.core.distributed import any_process
from rlvr.core.errors import RunError


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every entry is finite, in one read of the device: each read waits for all that runs there.

    Of sharded tensors it looks at this process's part.

    >>> all_finite([torch.ones(2), torch.tensor([1.0, torch.inf])]), all_finite([])
    (False, True)
    """
    flags = [torch.isfinite(t.to_local() if hasattr(t, "to_local") else t).all() for t in tensors]
    return not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())


class SkipBadGradients(TrainerCallback):
    """Drop the gradient of a step when it holds NaN or infinity, so that neither weights nor optimizer move.

    Must stand before the metrics file among the callbacks: it adds `updates_skipped` (so far) to each line.

    Raises RunError after `limit` such steps in a row: by then the weights or the problem are broken, and the rollouts
    of these steps are the place to look.
    """

    def __init__(self, limit: int, rollouts: str = "rollouts"):
        self.limit, self.rollouts = limit, rollouts
        self.skipped = self.in_a_row = 0

    def resume_state(self) -> tuple[int, int]:
        """Return what a checkpoint keeps."""
        return self.skipped, self.in_a_row

    def load_resume_state(self, state: tuple[int, int]) -> None:
        """Restore what `resume_state` returned."""
        self.skipped, self.in_a_row = state

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        if args.fp16:  # its loss scaler expects infinities and skips such steps itself
            return
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        if not any_process(not all_finite(grads), args.device):
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        for p in model.parameters():
            p.grad = None  # an optimizer passes such parameters over; zeros would still decay and carry momentum
        step = state.global_step + 1
        say(f"WARNING at step {step}: the gradient is not finite; this update is left out ({self.skipped} so far)")
        if self.in_a_row >= self.limit:
            raise RunError(
                f"The gradient was not finite {self.in_a_row} times in a row, up to step {step}. The batches are in "
                f"{self.rollouts} (step-{step:05d}.parquet is the last). Try a smaller --learning_rate or "
                "--max_grad_norm, or float32 (--bf16 false); --max_bad_updates sets the limit."
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        """Raise RunError before weights that are not finite are saved: by the next step it would be too late."""
        if not (control.should_save or control.should_training_stop or state.global_step >= state.max_steps > 0):
            return
        if any_process(not all_finite(model.parameters()), args.device):
            raise RunError(
                f"The weights are not finite after step {state.global_step}: training diverged, so they are neither "
                "saved nor measured. Go on from an earlier checkpoint, if there is one, with a smaller "
                "--learning_rate, or start again with one."
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is not None and "loss" in logs:
            logs["updates_skipped"] = float(self.skipped)
