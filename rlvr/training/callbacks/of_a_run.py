"""List the callbacks with which the command trains."""

from transformers import Trainer, TrainerCallback
from transformers.integrations import get_reporting_integration_callbacks

from rlvr.config.settings import TrainConfig
from rlvr.runs.directory import RunDir
from rlvr.training.callbacks.bad_gradients import SkipBadGradients
from rlvr.training.callbacks.health import Health
from rlvr.training.callbacks.progress import MetricsFile, Progress, Watch
from rlvr.training.callbacks.rollout_budget import StopAtRollouts
from rlvr.training.callbacks.stop_signal import StopOnSignal


def run_callbacks(config: TrainConfig, run: RunDir, seconds: float, stop: StopOnSignal) -> list[TrainerCallback]:
    """Return what a run's trainer calls: guards, health, metrics.jsonl, a line per step, alarms, what ends it.

    `seconds` have passed in the run before; `stop` catches SIGTERM and Ctrl-C.
    """
    return [
        SkipBadGradients(config.max_bad_updates, str(run.rollouts)),
        Health(),
        MetricsFile(run.metrics, seconds),
        Progress(),
        Watch(stop=config.stop_on_collapse),
        stop,
        *([StopAtRollouts(config.max_rollouts, config.generation_batch_size)] if config.max_rollouts else []),
    ]


def trackers_last(trainer: Trainer) -> None:
    """Let the trackers of `report_to` come after all other callbacks, so that they get what these add to the logs."""
    trackers = tuple(get_reporting_integration_callbacks(trainer.args.report_to))
    trainer.callback_handler.callbacks.sort(key=lambda callback: isinstance(callback, trackers))
