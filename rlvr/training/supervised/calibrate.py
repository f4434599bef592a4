"""Calibrate by supervision: sample the model on training problems, then train its confidence (tokenised_brier.py).

The cheap baseline that a calibration reward has to beat: one round of sampling, no reward, no group. It moves whatever
weights train (`--lora_rank 8` moves few), by the confidence tokens only; answers are not taught, but may drift.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, set_seed
from transformers.trainer_callback import PrinterCallback

from rlvr.config.loading import check_frozen_base, loading
from rlvr.config.settings import TrainConfig
from rlvr.core.console import say
from rlvr.core.errors import DataError, RunError, SpecError
from rlvr.core.json_rows import json_text
from rlvr.core.records import Problem
from rlvr.measure.sample import Policy, make_engine, sample
from rlvr.models.load import load_model, lora_config, name_by_folder
from rlvr.models.sampling import Sampling
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.training.callbacks.progress import Progress
from rlvr.training.supervised.tokenised_brier import Slot, collate, slot, tokenised_brier, value_logps


@dataclass(frozen=True)
class Calibrated:
    """Hold what training did on `n` held-out samples: tokenised Brier loss before and after, beside a constant's."""

    n: int
    accuracy: float
    before: float
    after: float

    @property
    def constant(self) -> float:
        """Return the Brier score of always stating the accuracy: a (1 - a)."""
        return self.accuracy * (1 - self.accuracy)


class _Calibration(Trainer):
    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        return tokenised_brier(value_logps(model, inputs), inputs["correct"]).mean()


def calibrate(model_spec: str, config: TrainConfig, out: Path) -> Calibrated:
    """Train `model_spec` on samples of its own and save it in `out`, with calibration.json.

    Of `config` it reads the data, prompt, sampling and optimisation settings: `num_generations` samples for each of
    `train_size` training problems, `per_device_train_batch_size` samples a step; held out are samples of `eval_size`
    test problems. Raises SpecError without a confidence or a held-out set, RunError where `out` exists, DataError
    where no sample states a confidence.
    """
    answers = config.answers
    if not answers.asks_confidence:
        form = f"tags {config.tags} ask" if answers.place is None else f"answer format {config.answer_format!r} asks"
        add = "'confidence'" if answers.place is None else "confidence='tag' or 'line' to it"
        raise SpecError(f"The {form} for no confidence, so none can be calibrated. Add {add}.")
    if not config.eval_size:
        raise SpecError("eval_size is 0, so nothing would be held out to measure on. Give --eval_size 60.")
    if out.exists():
        raise RunError(f"{out} exists already. Give another folder: --out DIR.")
    say(str(config.precision))
    splits = {"train": config.train_size, "test": config.eval_size}
    data = ProblemSet.of(config.data)
    problems = {s: data.load(s, size, config.data_size_seed) for s, size in splits.items()}
    set_seed(config.seed)
    check_frozen_base(config, adapters=bool(config.lora_rank) or (Path(model_spec) / "adapter_config.json").is_file())
    model, tokenizer = load_model(model_spec, device=config.device, **loading(config, model_spec))
    say(f"sampling {config.num_generations} completions each of {len(problems['train'])} training problems")
    slots = {s: sample_slots(model, tokenizer, problems[s], config) for s in splits}
    pad_id = tokenizer.pad_token_id
    before = held_out_loss(model, slots["test"], pad_id, config.per_device_train_batch_size)
    lora = lora_config(config.lora_rank, revision=loading(config, model_spec)["revision"])
    if lora:
        name_by_folder(model)
    config.output_dir = str(out)
    trainer = _Calibration(
        model=get_peft_model(model, lora) if lora else model,
        args=config,
        train_dataset=slots["train"],
        data_collator=partial(collate, pad_id=pad_id),
        callbacks=[Progress()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trained = trainer.accelerator.unwrap_model(trainer.model)
    after = held_out_loss(trained, slots["test"], pad_id, config.per_device_train_batch_size)
    accuracy = sum(one.correct for one in slots["test"]) / len(slots["test"])
    result = Calibrated(len(slots["test"]), accuracy, before, after)
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)
    facts = {"model": model_spec, "data": config.data, **dataclasses.asdict(result), "constant": result.constant}
    (out / "calibration.json").write_text(json_text(facts, indent=2) + "\n", encoding="utf-8")
    return result


def sample_slots(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problems: list[Problem], config: TrainConfig
) -> list[Slot]:
    """Return the confidence slots of the model's own completions that state one and could be judged."""
    n = config.num_generations or 0
    engine = make_engine(model, tokenizer, config.sampling_precision)
    sampling = Sampling(config.max_completion_length or 0, config.temperature, config.top_p, config.top_k or 0)
    seed = config.seed if config.sampling_seed is None else config.sampling_seed
    policy = Policy(engine, tokenizer, config.system_prompt, config.chat_template_kwargs)
    with Scorer.of(config.data, config.answers, config.verify_timeout) as scorer:
        sampled = sample(policy, problems, scorer, n=n, sampling=sampling, seed=seed)
    slots = [
        slot(tokenizer, sampled.prompts[i // n], c.text, c.correct, config.answers)
        for i, c in enumerate(sampled.completions)
        if c.confidence is not None and c.correct is not None
    ]
    if not slots:
        raise DataError(
            f"None of {len(sampled.completions)} completions states a readable confidence, so there is no slot to "
            "train. Warm the model up first: rlvr warmup --config ... prints the folder to give here."
        )
    return slots


@torch.no_grad()
def held_out_loss(model: PreTrainedModel, slots: list[Slot], pad_id: int, batch_size: int) -> float:
    """Return the mean tokenised Brier loss of samples, in [0, 1]."""
    model.eval()
    losses = []
    for batch in DataLoader(slots, batch_size, collate_fn=partial(collate, pad_id=pad_id)):  # type: ignore[arg-type]
        batch = {name: value.to(model.device) for name, value in batch.items()}
        losses.append(tokenised_brier(value_logps(model, batch), batch["correct"]))
    return torch.cat(losses).mean().item()
