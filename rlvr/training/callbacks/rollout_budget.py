"""End training at a budget in completions: recipes that throw groups away use more of them for one update."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StopAtRollouts(TrainerCallback):
    """End training when another batch would exceed `limit` sampled completions (thrown-away ones count)."""

    def __init__(self, limit: int, per_batch: int, used: int = 0):
        self.limit, self.per_batch, self.used = limit, per_batch, used

    def resume_state(self) -> int:
        """Return what a checkpoint keeps."""
        return self.used

    def load_resume_state(self, used: int) -> None:
        """Restore what `resume_state` returned; the limit may have changed since."""
        self.used = used

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.used:  # training had ended before the resume
            self._stop_if_spent(control)

    def _stop_if_spent(self, control: TrainerControl) -> None:
        if self.used + self.per_batch > self.limit:
            control.should_training_stop = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs: Any):
        if logs is not None and "reward" in logs:
            self.used += int(logs.get("dynamic/rollouts", self.per_batch))
            self._stop_if_spent(control)
