"""Finish the step on SIGTERM or Ctrl-C, save, and end the run with exit status 75 (try again later)."""

import signal
import threading
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.core.console import say
from rlvr.core.distributed import any_process


class StopOnSignal(TrainerCallback):
    """Turn the first SIGTERM or SIGINT into "save and stop after this step"; a second Ctrl-C stops at once.

    With several processes, a signal that reaches one of them stops all at the same step.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.caught = False
        self._before: dict[int, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in self.SIGNALS}

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = True
        say(f"{signal.Signals(number).name}: finishing the step, then saving (Ctrl-C again stops at once)")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.caught = any_process(self.caught, args.device)
        if self.caught:
            control.should_save = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
