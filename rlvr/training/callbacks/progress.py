"""Write the metrics file, log one line per step, and warn early."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.core.answer_format import DEFAULT
from rlvr.core.console import say
from rlvr.core.errors import RunError
from rlvr.training.callbacks.alarms import COLLAPSES, alarms

NOT_METRICS = {
    "total_flos",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "train_loss",
}


def _teller(stream: TextIO | None) -> Callable[[str], Any]:
    """Return a function that logs a line, or writes it to `stream` where one is given."""
    return say if stream is None else lambda message: stream.write(message + "\n")


class MetricsFile(TrainerCallback):
    """Append one JSON object per logged training step to metrics.jsonl, with null for what is not finite.

    `seconds` counts from `spent`, what the run took in the processes before this one. Each line is in the trainer's log
    history too, from which a lost one comes back (`RunDir.rewind`); the file is synced with every checkpoint.

    Raises RunError when the file that it has written to is gone: a run folder that somebody removed would come back in
    parts, without the settings and the steps so far.
    """

    def __init__(self, path: Path, spent: float = 0.0):
        self.path = path
        self.start = time.time() - spent
        self.written = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or NOT_METRICS & logs.keys():
            return
        if all(key.startswith("eval_") for key in logs):  # of an evaluation: its file holds it
            return
        row: dict[str, Any] = {"step": state.global_step, "seconds": round(time.time() - self.start, 3)}
        for key, value in logs.items():
            number = isinstance(value, int | float)
            row[key] = None if number and not math.isfinite(value) else value
        if self.written and not self.path.is_file():
            raise RunError(
                f"{self.path} is gone: the run folder was removed or moved at step {state.global_step}. "
                "Start it again in another --output_dir, or put the folder back and use --resume."
            )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.written = True
        if state.log_history:
            state.log_history[-1] = row

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero and self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())


class Progress(TrainerCallback):
    """Log one line per step: what was right, well formed, how long, what took part, and the time left."""

    def __init__(self, stream: TextIO | None = None):
        self.tell = _teller(stream)
        self.start = time.time()
        self.first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.start, self.first_step = time.time(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or not {"reward", "loss"} & logs.keys():
            return
        per_step = (time.time() - self.start) / max(1, state.global_step - self.first_step)
        left = per_step * (state.max_steps - state.global_step)
        parts = [f"step {state.global_step:>{len(str(state.max_steps))}}/{state.max_steps}"]
        for label, key, form in (
            *([] if "reward" in logs else [("loss", "loss", ".3f")]),
            ("reward", "reward", ".3f"),
            ("right", "accuracy", ".0%"),
            ("format", "format_rate", ".0%"),
            ("conf", "confidence/mean", ".2f"),
            ("mixed", "groups/mixed", ".0%"),
            ("kept", "kept", ".0%"),
            ("tokens", "completions/mean_length", ".0f"),
        ):
            value = logs.get(key)
            if value is not None and math.isfinite(value):
                parts.append(f"{label} {value:{form}}")
        parts.append(f"{per_step:.1f} s/step")
        parts.append(f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left")
        self.tell("  ".join(parts))


def _carries_momentum(args: TrainingArguments | None) -> bool:
    """Return whether an update without gradient can move the weights: by a first moment, or by weight decay."""
    if args is None:
        return True
    return args.weight_decay > 0 or (args.adam_beta1 > 0 and "sgd" not in str(args.optim).lower())


class Watch(TrainerCallback):
    """Warn, once per cause, when a run is dying or collapsing, and say why and what to try (alarms.py).

    It speaks after `window` steps at the earliest; the start that a collapse is measured from is the first half window
    of the run. With `stop`, the first alarm of a collapse ends the training.
    """

    def __init__(self, window: int = 8, stop: bool = False, stream: TextIO | None = None):
        self.window = window
        self.stop = stop
        self.tell = _teller(stream)
        self.rows: list[dict[str, Any]] = []
        self.said: set[str] = set()
        self.stopped = False

    def resume_state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the rows that `alarms` looks at, and what was said."""
        half = self.window // 2
        rows = self.rows if len(self.rows) < half + self.window else self.rows[:half] + self.rows[-self.window :]
        return {"rows": rows, "said": sorted(self.said), "stopped": self.stopped}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restore what `resume_state` returned."""
        self.rows, self.said, self.stopped = list(state["rows"]), set(state["said"]), state["stopped"]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.stop and self.stopped:  # it had ended before the resume
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "reward" not in logs:
            return
        self.rows.append({"step": state.global_step, **logs})
        causes = alarms(self.rows, self.window, getattr(args, "answers", DEFAULT))
        if not _carries_momentum(args):
            causes.pop("drift", None)
        new = {cause: text for cause, text in causes.items() if cause not in self.said}
        self.said |= new.keys()
        stop = self.stop and any(cause in COLLAPSES for cause in new)
        if stop:  # on every process: they all log the same numbers
            control.should_training_stop = self.stopped = True
        if state.is_world_process_zero:
            for message in new.values():
                self.tell(f"WARNING at step {state.global_step}: {message}")
            if stop:
                self.tell("Training stops here (--stop_on_collapse true).")
