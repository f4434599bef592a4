"""End training at a budget in completions: recipes that throw groups away use more of them for one update."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.training.batch import GenerationBatch


class StopAtRollouts(TrainerCallback):
    """End training when another batch would exceed `limit` sampled completions (thrown-away ones count).

    RLVRTrainer tells it of each generation batch, logged or not; with another trainer it never stops.
    """

    def __init__(self, limit: int, per_batch: int, used: int = 0):
        self.limit, self.per_batch, self.used = limit, per_batch, used

    def resume_state(self) -> int:
        """Return what a checkpoint keeps."""
        return self.used

    def load_resume_state(self, used: int) -> None:
        """Restore what `resume_state` returned; the limit may have changed since."""
        self.used = used

    def on_generation_batch(self, batch: GenerationBatch) -> None:
        """Count the completions that all processes sampled for a batch of training."""
        self.used += len(batch.judged.problem_ids) + len(batch.thrown)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.used:  # training had ended before the resume
            self._stop_if_spent(control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._stop_if_spent(control)

    def _stop_if_spent(self, control: TrainerControl) -> None:
        if self.used + self.per_batch > self.limit:
            control.should_training_stop = True
