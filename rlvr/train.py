"""READ ME FIRST: load -> check -> warm up -> evaluate -> train -> evaluate, top to bottom.

`resolve_config` (planning/resolve.py) has resolved and checked everything that a config names before a model is loaded.
The report is not made here: it reads the run directory that this leaves.
"""

import gc
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback

from rlvr.config.loading import loading
from rlvr.config.settings import TrainConfig
from rlvr.core.callable_module import CallableModule
from rlvr.core.console import say
from rlvr.core.errors import ModelError, Stopped
from rlvr.measure.evaluate import evaluate
from rlvr.measure.of_run import RunEvaluation
from rlvr.measure.sample import Policy, make_engine
from rlvr.models.chat import check_lengths, encode
from rlvr.models.load import load_model, lora_config, trainable_parameters
from rlvr.models.sampling import Sampling
from rlvr.planning.parts import check_needs
from rlvr.planning.resolve import ResolvedConfig
from rlvr.problems.prompts import messages
from rlvr.problems.scorer import Scorer
from rlvr.runs import checkpoints
from rlvr.runs import directory as runs
from rlvr.runs.open import Start, open_run
from rlvr.runs.pass_rate import PassRate
from rlvr.runs.resume import missing
from rlvr.runs.whole_model import save_whole
from rlvr.training.callbacks.of_a_run import run_callbacks, trackers_last
from rlvr.training.callbacks.stop_signal import StopOnSignal
from rlvr.training.eval_while_training import eval_while_training
from rlvr.training.supervised.warmup import warmup, warmup_settings
from rlvr.training.trainer import RLVRTrainer


def train_run(
    resolved: ResolvedConfig, recipes: Sequence[str], argv: Sequence[str], resume: Path | None = None
) -> runs.RunDir:
    """Train what a config resolved to, from the warm-up to the last evaluation, and return the run directory.

    `resume` goes on with a run from where it stopped, and trains nothing where its model is saved whole. SIGTERM and
    Ctrl-C finish the step, save and raise Stopped.
    """
    say(str(resolved.config.precision))
    check_needs(resolved.config)  # before the warm-up, which takes minutes
    with open_run(resolved.config, recipes, argv, resume) as start:
        _train(resolved, start)
    return start.run


def _train(resolved: ResolvedConfig, start: Start) -> None:
    config, run, state = resolved.config, start.run, PartialState()

    # The model: warmed up on worked solutions, so that it knows the form of answer.
    source = config.model
    if config.sft_steps:
        say(f"warming up {config.model} for {config.sft_steps} steps (cached)")
        source = str(warmup(warmup_settings(config)))
    how = {"device": config.device, **loading(config)}
    model, tokenizer = load_model(source, **how)
    prompts = [messages(p, config.answers, config.system_prompt) for p in resolved.problems]
    check_lengths(
        encode(tokenizer, prompts, config.chat_template_kwargs),
        [p.id for p in resolved.problems],
        config.max_completion_length or 0,
        getattr(model.config, "max_position_embeddings", None),
    )

    def evaluate_sets(policy: PreTrainedModel | PeftModel, when: str, sets: Mapping[str, str]) -> None:
        """Evaluate on some sets, all processes together; nothing here touches the random states of training."""
        asked, evaluation = _asked(policy, tokenizer, config), RunEvaluation(config, run)
        for spec, why in sets.items():
            problems = resolved.eval_problems[spec]
            again = f" again, because {why}" if run.evaluation(when, spec).exists() else ""
            say(f"evaluating {when} training{again}: {len(problems)} problems of {spec}, {config.eval_n} samples each")
            name = source if when == "before" else str(run.model)
            data, exact = resolved.sets[spec], config.eval_exact
            evaluation(asked, when, data, problems, model=name, n=config.eval_n, exact=exact)
        state.wait_for_everyone()

    if sets := missing(run, "before", resolved.eval_problems, config):
        evaluate_sets(model, "before", sets)
    if not start.trained:
        _fit(resolved, start, model, tokenizer, prompts)
    del model
    gc.collect()  # the optimizer's memory
    # What is measured is what was saved: sharded weights are whole only there, and a resumed run has no others.
    if sets := missing(run, "after", resolved.eval_problems, config):
        trained, _ = load_model(str(run.model), **how)
        evaluate_sets(trained, "after", sets)


def _fit(
    resolved: ResolvedConfig,
    start: Start,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[dict[str, str]]],
) -> None:
    """Train from the start or from its checkpoint to the end, and let the model appear whole in the run directory."""
    config, run, checkpoint, state = resolved.config, start.run, start.checkpoint, PartialState()
    scorer = Scorer.of(resolved.sets[config.data], config.answers, config.verify_timeout)
    pass_rates = PassRate()  # what difficulty filters read: a profile before training, then what training sees
    if config.profile_n and not checkpoint:
        pass_rates = _profile(_asked(model, tokenizer, config), resolved, scorer)

    # The loop itself is TRL's; RLVRTrainer changes only what the signal is.
    trainer = RLVRTrainer(
        model,
        args=config,
        train_dataset=Dataset.from_list(
            [{"prompt": chat, "id": p.id} for chat, p in zip(prompts, resolved.problems, strict=True)]
        ),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank, revision=loading(config)["revision"]),
        callbacks=run_callbacks(config, run, start.seconds, stop := StopOnSignal()),
        advantage=resolved.advantage,
        problems={p.id: p for p in resolved.problems},
        scorer=scorer,
        terms=resolved.terms,
        pass_rates=pass_rates,
        rollouts=run.rollouts if config.log_rollouts else None,
    )
    trainer.remove_callback(PrinterCallback)  # Progress prints one readable line instead
    trackers_last(trainer)
    best = None
    if config.eval_every:
        data = resolved.sets[config.data]
        step = checkpoints.step_of(checkpoint) if checkpoint else 0
        best = eval_while_training(trainer, tokenizer, config, run, data, resolved.validation, stop, step)
    if not trainable_parameters(trainer.model):
        raise ModelError(f"{config.model!r} has no trainable parameter, so training would change nothing.")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except OSError:
        say(f"stopped at step {trainer.state.global_step}; what was written is in {run.path}")
        raise
    finally:
        stop.restore()
        scorer.close()
        trainer.term_worker.close()
        if state.is_main_process:
            trainer.pass_rates.to_parquet(run.difficulty)
    if stop.caught:
        raise Stopped(f"saved at step {trainer.state.global_step}. Go on with: rlvr train --resume {run.path}")
    if best is None:
        save_whole(trainer.save_model, run)
    else:
        step, measured = best.publish(), len(best.scores)
        say(f"the model is that of step {step}, the best of {measured} measured steps on the validation problems")


def _profile(policy: Policy, resolved: ResolvedConfig, scorer: Scorer) -> PassRate:
    """Return how often the model solves each training problem before it is trained, from `profile_n` samples."""
    config = resolved.config
    say(f"profiling {len(resolved.problems)} training problems with {config.profile_n} samples each")
    sampling = Sampling(config.max_completion_length or 0)
    seed = config.eval_seed + 1
    profile = evaluate(policy, resolved.problems, scorer, n=config.profile_n, sampling=sampling, seed=seed)
    return PassRate.from_eval(profile)


def _asked(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, config: TrainConfig) -> Policy:
    """Return a model as what answers problems, asked as this config's training asks."""
    engine = make_engine(model, tokenizer, config.sampling_precision)
    return Policy(engine, tokenizer, config.system_prompt, config.chat_template_kwargs)


train = train_run  # its name before 2026-11-24
sys.modules[__name__].__class__ = CallableModule  # rlvr.train(...) is rlvr.commands.api.train
