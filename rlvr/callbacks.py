"""What watches a run from outside the loop: the metrics file, one line per step, and early warnings."""

import json
import math
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_NOT_METRICS = {
    "total_flos",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "train_loss",
}


def say(message: str) -> None:
    """Print progress on the main process, to standard error: standard output belongs to results."""
    if PartialState().is_main_process:
        print(message, file=sys.stderr, flush=True)


class MetricsFile(TrainerCallback):
    """Appends one JSON object per logged training step to metrics.jsonl, with null for what is not finite."""

    def __init__(self, path: Path):
        self.path = path
        self.start = time.time()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs or _NOT_METRICS & logs.keys():
            return
        row: dict[str, Any] = {"step": state.global_step, "seconds": round(time.time() - self.start, 3)}
        for key, value in logs.items():
            number = isinstance(value, int | float)
            row[key] = None if number and not math.isfinite(value) else value
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


class Progress(TrainerCallback):
    """Prints one line per step: what was right, well formed, how long, what took part, and the time left."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.start = time.time()
        self.first_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self.start, self.first_step = time.time(), state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
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
        print("  ".join(parts), file=self.stream, flush=True)


class Watch(TrainerCallback):
    """Warns, once per cause, when a run is dying, and says why and what to try.

    Looks at the mean of the last `window` steps, so it speaks after `window` steps at the earliest.
    """

    def __init__(self, window: int = 8, stream=None):
        self.window = window
        self.stream = stream or sys.stderr
        self.rows: deque[dict[str, float]] = deque(maxlen=window)
        self.said: set[str] = set()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs or "reward" not in logs:
            return
        self.rows.append(dict(logs))
        if len(self.rows) < self.window:
            return
        for cause, message in self.causes().items():
            if cause not in self.said:
                self.said.add(cause)
                print(f"WARNING at step {state.global_step}: {message}", file=self.stream, flush=True)

    def mean(self, key: str) -> float:
        """The mean of `key` over the window (NaN when it was never logged)."""
        values = [v for row in self.rows if (v := row.get(key)) is not None and math.isfinite(v)]
        return sum(values) / len(values) if values else math.nan

    def causes(self) -> dict[str, str]:
        """Return what is wrong now: cause -> message."""
        found = {}
        wrong, right = self.mean("groups/all_wrong"), self.mean("groups/all_right")
        form, cut, kept = self.mean("format_rate"), self.mean("completions/clipped_ratio"), self.mean("kept")
        if cut > 0.5:
            found["truncated"] = (
                f"{cut:.0%} of completions hit the length limit and cannot score. Try a larger "
                "--max_completion_length or shorter worked solutions in the warm-up."
            )
        if form < 0.1:
            found["format"] = (
                f"only {form:.0%} of completions have the requested tags, so nearly all rewards are 0. "
                "Try a warm-up (--sft_steps 40), or fewer --tags."
            )
        elif wrong > 0.9:
            found["all_wrong"] = (
                f"{wrong:.0%} of groups are all-wrong: group-relative advantages are 0 and nothing is learned. Try "
                "easier problems (--data 'arithmetic(levels=[0, 1])'), more samples (--num_generations), or a warm-up."
            )
        if right > 0.9:
            found["all_right"] = (
                f"{right:.0%} of groups are all-right: there is nothing left to learn here. Try harder problems."
            )
        if kept < 0.1:
            found["dropped"] = (
                f"only {kept:.0%} of completions reach the loss; the rest is dropped. Loosen the drop_* transforms "
                "of --advantage, or give them problems they keep."
            )
        if self.mean("grad_norm") == 0.0:
            found["gradient"] = "the gradient is exactly 0: no completion carries credit, or no weight is trainable."
        length = [row["completions/mean_length"] for row in self.rows if row.get("completions/mean_length")]
        if len(length) == self.window and length[-1] < 0.4 * max(length):
            found["length"] = (
                f"completions shrank from {max(length):.0f} to {length[-1]:.0f} tokens: the model may be skipping its "
                "working. Look at rollouts/, and consider drop_near_impossible."
            )
        return found
