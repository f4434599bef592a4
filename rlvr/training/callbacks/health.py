"""Log how much accuracy the first updates cost, and say at the end of training whether the run could learn."""

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.core.console import say
from rlvr.training.health import FIRST, accuracy_lost, health_verdict


class Health(TrainerCallback):
    """Add `health/accuracy_lost` to the lines of the first updates; tell the verdict of health.py when training ends.

    Must stand before the metrics file among the callbacks. It keeps nothing: the trainer's log history is what it
    reads, which checkpoints hold.
    """

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or logs.get("accuracy") is None or state.global_step > FIRST + 1:
            return
        lost, _ = accuracy_lost(state.log_history)
        if math.isfinite(lost):
            logs["health/accuracy_lost"] = lost

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            say(f"health: {health_verdict(state.log_history)}")
