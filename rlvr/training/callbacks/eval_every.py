"""Measure the policy on validation problems while it trains, tell it in a line, and log it to the trackers."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.core.console import say
from rlvr.measure.metrics import Interval, summarise_eval
from rlvr.training.keep_best import KeepBest, best_step

LOGGED = ("pass@", "brier", "ece", "auroc", "format_rate", "truncated", "confidence_mean", "tokens")
Log = Callable[[TrainingArguments, TrainerState, TrainerControl, dict[str, float]], Any]


class EvalEvery(TrainerCallback):
    """Measure at the start, every `every` steps and at the last one; nothing that training draws or weighs changes.

    A step whose evaluation is there is not measured again. Must stand last: what is logged under `eval/` goes to the
    callbacks before it, the trackers among them.

    Args:
        every: optimizer steps between two evaluations.
        measure: measures the policy at a step, on all processes together, writes the evaluation and returns it.
        stored: returns the evaluation of a step that is written already, or None.
        log: tells the trainer's callbacks (CallbackHandler.on_log).
        interrupted: whether a signal ends the run after this step; what it leaves out, a resumed run measures first.
        best: what keeps the best step's model, or None.
    """

    def __init__(
        self,
        every: int,
        measure: Callable[[int], Mapping[str, Any]],
        stored: Callable[[int], Mapping[str, Any] | None],
        log: Log,
        interrupted: Callable[[], bool] = lambda: False,
        best: KeepBest | None = None,
    ):
        self.every, self.measure, self.stored, self.log = every, measure, stored, log
        self.interrupted, self.best = interrupted, best

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        step = state.global_step
        there = self.stored(step) is not None and (self.best is None or step in self.best.scores)
        if self._due(state) and not there:
            self._evaluate(args, state, control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if (self._due(state) or control.should_training_stop) and not self.interrupted():
            self._evaluate(args, state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.best is not None:
            self.best.saved(state.global_step)

    def _due(self, state: TrainerState) -> bool:
        return state.global_step % self.every == 0 or state.global_step >= state.max_steps > 0

    def _evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        step = state.global_step
        evaluation = self.measure(step)
        summary = summarise_eval(evaluation)
        if self.best is not None:
            self.best.offer(step, pass_at_1(summary))
        if not state.is_world_process_zero:
            return
        line = eval_line(step, evaluation, summary)
        say(line + (f"; best: step {best_step(self.best.scores)}" if self.best is not None else ""))
        should_log = control.should_log  # of the step's own line, which comes later
        self.log(args, state, control, {f"eval_{name}": value for name, value in tracked(summary).items()})
        control.should_log = should_log


def pass_at_1(summary: Mapping[str, Interval | int]) -> float:
    """Return pass@1 of a summary, NaN where the verifier gave no verdict."""
    estimate = summary.get("pass@1")
    return estimate.value if isinstance(estimate, Interval) else math.nan


def tracked(summary: Mapping[str, Interval | int]) -> dict[str, float]:
    """Return the metrics of an evaluation that trackers get: those that are finite, without their intervals.

    >>> tracked({"pass@2": Interval(0.5, 0.4, 0.6, 9), "brier": Interval(math.nan, 0, 1, 0), "problems": 9})
    {'pass@2': 0.5}
    """
    return {
        name: estimate.value
        for name, estimate in summary.items()
        if isinstance(estimate, Interval)
        and (name in LOGGED or name.startswith(LOGGED[0]))
        and math.isfinite(estimate.value)
    }


def eval_line(step: int, evaluation: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Return one evaluation as a line: pass@1 with its interval, Brier and ECE where a confidence is stated."""
    how = "the chance of each computed" if evaluation.get("exact") else f"{evaluation['n']} samples each"
    parts = [f"pass@1 {summary['pass@1']}"] if "pass@1" in summary else ["no verdict"]
    if summary["pairs"]:
        parts += [f"Brier {summary['brier']}", f"ECE {summary['ece']}"]
    return f"validation at step {step}: {', '.join(parts)} ({summary['problems']} problems, {how})"
