"""A budget in completions: recipes that throw groups away use more of them for one update."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class StopAtRollouts(TrainerCallback, ExportableState):
    """Ends training when another batch would exceed `limit` sampled completions (thrown-away ones count)."""

    def __init__(self, limit: int, per_batch: int, used: int = 0):
        self.limit, self.per_batch, self.used = limit, per_batch, used

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {"limit": self.limit, "per_batch": self.per_batch, "used": self.used}, "attributes": {}}

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs: Any):
        if logs is not None and "reward" in logs:
            self.used += int(logs.get("dynamic/rollouts", self.per_batch))
            if self.used + self.per_batch > self.limit:
                control.should_training_stop = True
