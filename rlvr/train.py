"""READ ME FIRST: load -> check -> warm up -> evaluate -> train -> evaluate, top to bottom.

`plan` (rlvr/plan.py) has resolved and checked everything that a config names before a model is loaded. The report
is not made here: it reads the run directory that this leaves behind.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback

from rlvr import callbacks, runs
from rlvr.bad_gradients import SkipBadGradients
from rlvr.budget import StopAtRollouts
from rlvr.callable_module import CallableModule
from rlvr.callbacks import say
from rlvr.errors import ModelError, Stopped
from rlvr.eval_file import save_eval
from rlvr.evaluate import describe, evaluate, make_engine
from rlvr.generate import Sampling
from rlvr.launch import open_run
from rlvr.machine import check_needs
from rlvr.models import load_model, lora_config, trainable_parameters
from rlvr.plan import Plan
from rlvr.prompts import check_lengths, encode, messages
from rlvr.score import Scorer
from rlvr.select.pass_rate import PassRate
from rlvr.stop import StopOnSignal
from rlvr.trainer import RLVRTrainer
from rlvr.verify import Verifier
from rlvr.warmup import warmup, warmup_settings


def train(plan: Plan, recipes: Sequence[str], argv: Sequence[str], resume: Path | None = None) -> runs.RunDir:
    """Run a plan from the warm-up to the last evaluation and return its run directory.

    `resume` goes on from a run's newest whole checkpoint. SIGTERM and Ctrl-C finish the step, save and raise Stopped.
    """
    say(str(plan.config.precision))
    check_needs(plan.config)  # before the warm-up, which takes minutes
    with open_run(plan.config, recipes, argv, resume) as (run, checkpoint):
        _train(plan, run, checkpoint)
    return run


def _train(plan: Plan, run: runs.RunDir, checkpoint: Path | None) -> None:
    config, state = plan.config, PartialState()

    # The model: warmed up on worked solutions, so that it knows the tags.
    source = config.model
    if config.sft_steps:
        say(f"warming up {config.model} for {config.sft_steps} steps (cached)")
        source = str(warmup(warmup_settings(config)))
    model, tokenizer = load_model(
        source,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
        attn_implementation=config.attn_implementation,
    )
    prompts = [messages(p, config.tags, config.system_prompt) for p in plan.problems]
    check_lengths(
        encode(tokenizer, prompts, config.chat_template_kwargs),
        [p.id for p in plan.problems],
        config.max_completion_length or 0,
        getattr(model.config, "max_position_embeddings", None),
    )
    scorer = Scorer(config.tags, Verifier(config.data, config.verify_timeout))

    def measure(policy, when: str) -> None:
        """Evaluate on every set, all processes together; nothing here touches the random states of training."""
        engine = make_engine(policy, tokenizer, config.sampling_precision)
        for spec, problems in plan.eval_problems.items():
            say(f"evaluating {when} training: {len(problems)} problems of {spec}, {config.eval_n} samples each")
            with closing(Verifier(spec, config.verify_timeout)) as verifier:
                record = evaluate(
                    engine,
                    tokenizer,
                    problems,
                    Scorer(config.tags, verifier),
                    n=config.eval_n,
                    sampling=Sampling(config.max_completion_length or 0, config.eval_temperature),
                    seed=config.eval_seed,
                    system_prompt=config.system_prompt,
                    template=config.chat_template_kwargs,
                )
            record |= describe(spec, "test", source if when == "before" else str(run.model))
            if state.is_main_process:
                save_eval(record, run.evaluation(when, spec))
        state.wait_for_everyone()

    if not all(run.evaluation("before", spec).is_file() for spec in plan.eval_problems):
        measure(model, "before")

    # The pass-rate record that difficulty filters read: an offline profile, then what training sees.
    record = PassRate()
    if config.profile_n and not checkpoint:
        say(f"profiling {len(plan.problems)} training problems with {config.profile_n} samples each")
        profile = evaluate(
            make_engine(model, tokenizer, config.sampling_precision),
            tokenizer,
            plan.problems,
            scorer,
            n=config.profile_n,
            sampling=Sampling(config.max_completion_length or 0),
            seed=config.eval_seed + 1,
            system_prompt=config.system_prompt,
            template=config.chat_template_kwargs,
        )
        record = PassRate.from_eval(profile)

    # The loop itself is TRL's; RLVRTrainer changes only what the signal is.
    trainer = RLVRTrainer(
        model,
        args=config,
        train_dataset=Dataset.from_list(
            [{"prompt": chat, "id": p.id} for chat, p in zip(prompts, plan.problems, strict=True)]
        ),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank),
        callbacks=[
            SkipBadGradients(config.max_bad_updates, str(run.rollouts)),
            callbacks.MetricsFile(run.metrics),
            callbacks.Progress(),
            callbacks.Watch(stop=config.stop_on_collapse),
            stop := StopOnSignal(),
            *([StopAtRollouts(config.max_rollouts, config.generation_batch_size)] if config.max_rollouts else []),
        ],
        advantage=plan.advantage,
        problems={p.id: p for p in plan.problems},
        scorer=scorer,
        terms=plan.terms,
        record=record,
        rollouts=run.rollouts if config.log_rollouts else None,
    )
    trainer.remove_callback(PrinterCallback)  # Progress prints one readable line instead
    if not trainable_parameters(trainer.model):
        raise ModelError(f"{config.model!r} has no trainable parameter, so training would change nothing.")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except OSError:
        say(f"stopped at step {trainer.state.global_step}; what was written is in {run.path}")
        raise
    finally:
        stop.restore()
        scorer.verifier.close()
        trainer.term_worker.close()
        if state.is_main_process:
            trainer.record.to_parquet(run.difficulty)
    if stop.caught:
        raise Stopped(f"saved at step {trainer.state.global_step}. Go on with: rlvr train --resume {run.path}")
    trainer.save_model(str(run.model))
    state.wait_for_everyone()  # sharded weights are whole only in what was saved
    whole = (
        load_model(str(run.model), device=config.device)[0]
        if trainer.sharded
        else trainer.accelerator.unwrap_model(trainer.model)
    )
    measure(whole, "after")


sys.modules[__name__].__class__ = CallableModule  # rlvr.train(...) is rlvr.api.train
