"""Leave out updates whose batch has too few mixed groups: no moments, no momentum, no weight decay."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.training.batch import GenerationBatch


class SkipUnmixed(TrainerCallback):
    """Take no step where less than the share `least` of a batch's groups hold right and wrong completions.

    Gradients become None, which an optimizer passes over: neither the weights nor its state change, a critic's
    included. The update counts, and the learning-rate schedule goes on. `log` gets `health/no_step`, 1 or 0.
    """

    def __init__(self, least: float, log: Callable[[str, float], None]):
        self.least, self.log = least, log
        self.mixed = 1.0

    def resume_state(self) -> float:
        """Return what a checkpoint keeps: later updates may train on the batch of an earlier one."""
        return self.mixed

    def load_resume_state(self, mixed: float) -> None:
        """Restore what `resume_state` returned."""
        self.mixed = mixed

    def on_generation_batch(self, batch: GenerationBatch) -> None:
        """Take the share of mixed groups of a batch of training, those of all processes."""
        rate_P = batch.rollouts.correct_PG.float().mean(1)
        self.mixed = ((rate_P > 0) & (rate_P < 1)).float().mean().item()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, optimizer: Optimizer, **kwargs: Any
    ) -> None:
        skipped = self.mixed < self.least
        self.log("health/no_step", float(skipped))
        if skipped:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = None  # zeros would still decay and carry momentum
