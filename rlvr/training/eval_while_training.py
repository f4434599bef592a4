"""Let a run's trainer measure itself on validation problems every so many steps, and keep the best step's model."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlvr.config.settings import TrainConfig
from rlvr.core.console import say
from rlvr.core.errors import SpecError
from rlvr.core.records import Problem
from rlvr.measure.metrics import summarise_eval
from rlvr.measure.of_run import RunEvaluation
from rlvr.measure.sample import Policy
from rlvr.problems.sets import ProblemSet
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import load_eval
from rlvr.runs.resume import lacks
from rlvr.training.callbacks.eval_every import EvalEvery, pass_at_1
from rlvr.training.callbacks.stop_signal import StopOnSignal
from rlvr.training.keep_best import KeepBest
from rlvr.training.trainer import RLVRTrainer


def eval_while_training(
    trainer: RLVRTrainer,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    run: RunDir,
    data: ProblemSet,
    problems: Sequence[Problem],
    stop: StopOnSignal,
    checkpoint: int,
) -> KeepBest | None:
    """Add the callback of `eval_every` to a trainer; return what keeps the best model, with `keep_best`.

    `problems` are of the validation split of `data`; training goes on from the step `checkpoint`. The engine is the one
    that samples in training, so no further copy of the weights is made. Raises SpecError for a sharded model, whose
    weights no process holds.
    """
    if trainer.sharded or trainer.engine_sampling is None:
        raise SpecError("eval_every samples from the whole model, and with FSDP or DeepSpeed no process holds it.")
    engine_sampling, evaluation = trainer.engine_sampling, RunEvaluation(config, run)
    n, exact = config.eval_every_n, config.eval_exact and data.unique

    def measure(step: int) -> dict[str, Any]:
        policy = Policy(engine_sampling.engine, tokenizer, config.system_prompt, config.chat_template_kwargs)
        name = f"{config.model} after step {step} of {run.path.name}"
        when = f"step-{step}"
        return evaluation(policy, when, data, problems, model=name, n=n, split="validation", exact=exact)

    def stored(step: int) -> Mapping[str, Any] | None:
        path = run.evaluation(f"step-{step}", data.spec)
        return None if lacks(path, problems, config, n, exact) else load_eval(path)

    best = None
    if config.keep_best:
        earlier = {step: kept for step in run.step_evaluations() if (kept := stored(step)) is not None}
        scores = {step: pass_at_1(summarise_eval(kept)) for step, kept in earlier.items()}
        best = KeepBest(run, trainer.save_model, scores, checkpoint)
    log = trainer.callback_handler.on_log
    trainer.add_callback(EvalEvery(config.eval_every, measure, stored, log, lambda: stop.caught, best))
    every = f"every {config.eval_every} steps"
    say(f"measuring {every} on {len(problems)} validation problems of {data.spec}, {n} samples each")
    return best
