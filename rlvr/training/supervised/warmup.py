"""Warm a model up: supervised steps on worked solutions, so that a small model knows the form of answer before RL.

The rows are the problem set's own worked solutions, or a file of yours (`sft_data`, see problems/worked.py), such as
`rlvr select student` writes. The stated confidence is drawn at random, independent of the problem: what the model later
says about its own chances is learned from the reward, not copied from us. Cached by a hash of what made it.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, set_seed
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from rlvr.config.loading import loading
from rlvr.config.settings import TrainConfig
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.console import say
from rlvr.core.distributed import take_one_gpu
from rlvr.core.errors import DataError
from rlvr.core.records import Problem
from rlvr.models.chat import encode, prompt_end
from rlvr.models.chat_template import CHATML, end_of_turn
from rlvr.models.load import cached, load_model
from rlvr.models.precision import Precision
from rlvr.problems.prompts import messages
from rlvr.problems.sets import ProblemSet
from rlvr.problems.worked import Chat, lessons, read_rows
from rlvr.training.callbacks.progress import Progress

VERSION = 1


@dataclass(frozen=True)
class Warmup:
    """Hold everything that makes a warmed-up model; two equal ones give the same model."""

    model: str
    data: str
    steps: int = 40
    batch_size: int = 16
    learning_rate: float = 5e-5
    seed: int = 0
    data_seed: int = 0
    tags: tuple[str, ...] = ("think", "answer", "confidence")
    system_prompt: str | None = None
    bf16: bool = True
    rows: str | None = None
    use_cpu: bool = False
    chat_template_kwargs: dict[str, Any] | None = None
    answer_format: str = "tags"
    revision: str | None = None
    config_changes: dict[str, Any] | None = None
    trust_remote_code: bool = False
    chat_template: str | None = None

    @property
    def answers(self) -> AnswerFormat:
        """Return the form of answer that is taught."""
        return AnswerFormat.of(self.answer_format, self.tags)

    def key(self) -> str:
        """Return the hash that names the cached model: settings, problem set version, weights, libraries."""
        apart = ("rows", "use_cpu", "answer_format", "trust_remote_code", "chat_template")
        if_given = ("chat_template_kwargs", "revision", "config_changes")
        parts = {k: v for k, v in dataclasses.asdict(self).items() if k not in apart and (v or k not in if_given)}
        if self.answer_format != "tags":
            parts["answer_format"] = self.answer_format
        if self.chat_template:
            file = Path(self.chat_template).expanduser()
            parts["chat_template"] = CHATML if self.chat_template == CHATML else _digest(file)
        if self.rows:
            parts["rows"] = _digest(Path(self.rows).expanduser())  # the content, wherever it lies
        parts |= {
            "version": VERSION,
            "set_version": ProblemSet.of(self.data).version,
            "weights": _fingerprint(self.model),
            "libraries": {p: importlib.metadata.version(p) for p in ("torch", "transformers", "trl")},
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _fingerprint(model: str) -> list[tuple[str, str]]:
    """Identify the weights of a local folder by content; built-in and hub models go by name."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return []
    files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".json", ".jinja"})
    return [(p.name, _digest(p)) for p in files]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def warmup_settings(config: TrainConfig) -> Warmup:
    """Return the warm-up that a training config asks for."""
    how = loading(config)
    return Warmup(
        model=config.model,
        data=config.data,
        steps=config.sft_steps,
        batch_size=config.sft_batch_size,
        learning_rate=config.sft_learning_rate,
        seed=config.seed,
        data_seed=config.data_size_seed,
        tags=tuple(config.tags),
        system_prompt=config.system_prompt,
        bf16=bool(config.bf16),
        rows=config.sft_data,
        use_cpu=config.use_cpu,
        chat_template_kwargs=config.chat_template_kwargs,
        answer_format=config.answer_format,
        revision=how["revision"],
        config_changes=how["config_changes"] or None,
        trust_remote_code=how["trust_remote_code"],
        chat_template=config.chat_template,
    )


def examples(settings: Warmup, thinks: bool = False) -> Dataset:
    """Return TRL prompt/completion rows: the file's or worked solutions, with a random confidence where none stands.

    `thinks`: the model thinks in its own <think>, so that is where a form with native thinking has the steps.
    """
    template = settings.chat_template_kwargs
    if settings.rows:
        pairs = lessons(read_rows(settings.rows), settings.answers, settings.seed)
    else:
        pairs = _worked(settings, thinks)
    rows = [
        {
            "prompt": messages(Problem("", chat, None), settings.answers, settings.system_prompt),
            "completion": [{"role": "assistant", "content": text}],
            **({"chat_template_kwargs": template} if template else {}),  # TRL reads this column
        }
        for chat, text in pairs
    ]
    return Dataset.from_list(rows)


def _worked(settings: Warmup, thinks: bool) -> list[tuple[Chat, str]]:
    """Return problems of the set with their worked solutions; not the problems that RL will see."""
    data = ProblemSet.of(settings.data)
    if data.solution is None:
        raise DataError(
            f"The problem set {settings.data!r} has no worked solutions (no `solution(problem)` function), so it "
            "cannot be used for a warm-up. Choose another set, or train without one (--sft_steps 0)."
        )
    count = settings.steps * settings.batch_size
    problems = data.load("train", count, settings.data_seed + 7919)
    draw, teacher = random.Random(settings.seed), random.Random(f"teacher/{settings.seed}")
    pairs = []
    for problem in problems:
        confidence = draw.randint(0, 10) / 10
        working, answer = data.lesson(problem, teacher)
        text = settings.answers.render(working, answer, confidence, thinks=thinks)
        pairs.append((problem.prompt, text))
    return pairs


def own_thinking(tokenizer: PreTrainedTokenizerBase, template: Mapping[str, Any] | None) -> bool:
    """Return whether a model's chat template knows <think> and its prompts leave the thinking to the model."""
    return "<think>" in str(tokenizer.chat_template) and not prompt_end(tokenizer, template).rstrip().endswith(
        "</think>"
    )


def as_sampled(rows: Dataset, tokenizer: PreTrainedTokenizerBase, template: Mapping[str, Any] | None) -> Dataset:
    """Return the rows as token ids, prompts as they are sampled from, where the chat template would alter the replies.

    A template may drop what stands before </think>, open the thinking in prompts alone, or write nothing that ends a
    reply; the model would then learn replies that it never gives. There each prompt is rendered once, as sampling
    does, and the reply follows as text, with the token that ends a turn. Rows that the template keeps stay as they are.
    """
    known = template or {}
    chats = list(rows["prompt"])
    replied = [chat + reply for chat, reply in zip(chats, rows["completion"], strict=True)]
    heads = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False, **known)
    wholes = tokenizer.apply_chat_template(replied, tokenize=False, **known)
    texts = [reply["content"] for (reply,) in rows["completion"]]
    if all(map(_keeps, heads, wholes, texts)):
        return rows
    ids_of: dict[str, list[list[int]]] = {"input_ids": [], "completion_mask": []}
    end = end_of_turn(tokenizer, template)
    for prompt, head, text in zip(encode(tokenizer, chats, template), heads, texts, strict=True):
        said = text.removeprefix("<think>").lstrip() if head.rstrip().endswith("<think>") else text
        ids = tokenizer(said, add_special_tokens=False)["input_ids"]
        ids = [*ids, tokenizer.eos_token_id if end is None else end]
        ids_of["input_ids"].append([*prompt, *ids])
        ids_of["completion_mask"].append([0] * len(prompt) + [1] * len(ids))
    return Dataset.from_dict(ids_of)


def _keeps(head: str, whole: str, reply: str) -> bool:
    """Return whether a chat's text is its prompt, the whole reply (spaces apart) and something that ends it."""
    said, taught = "".join(reply.split()), "".join(whole[len(head) :].split())
    return whole.startswith(head) and said in taught and not taught.endswith(said)


def fitting(
    rows: Dataset, tokenizer: PreTrainedTokenizerBase, context: int | None, template: Mapping[str, Any] | None = None
) -> Dataset:
    """Return the rows that fit the model's context, and say how many do not; DataError if none does."""
    if "input_ids" in rows.column_names:
        written = rows["input_ids"]
    else:
        chats = [prompt + completion for prompt, completion in zip(rows["prompt"], rows["completion"], strict=True)]
        written = tokenizer.apply_chat_template(chats, return_dict=True, **(template or {}))["input_ids"]
    lengths = [len(ids) for ids in written]
    fit = [i for i, n in enumerate(lengths) if context is None or n <= context]
    if not fit:
        raise DataError(
            f"No warm-up row fits the model's context of {context} tokens; the shortest has {min(lengths)}."
        )
    if len(fit) < len(rows):
        say(f"WARNING: {len(rows) - len(fit)} of {len(rows)} warm-up rows exceed {context} tokens and are left out")
    return rows.select(fit)


def warmup(settings: Warmup) -> Path:
    """Return the folder of the warmed-up model, training it unless it is cached."""
    if settings.rows:
        lessons(read_rows(settings.rows), settings.answers, settings.seed)  # refuses bad rows before anything is loaded
    alone = PartialState().num_processes == 1
    return cached(f"warmup/{settings.key()}", partial(train if alone else _train_apart, settings))


def train(settings: Warmup, target: Path) -> None:
    """Train the warm-up in this process and save the model and its settings in `target`."""
    set_seed(settings.seed)
    model, tokenizer = load_model(
        settings.model,
        revision=settings.revision,
        config_changes=settings.config_changes,
        trust_remote_code=settings.trust_remote_code,
        chat_template=settings.chat_template,
    )
    template = settings.chat_template_kwargs
    rows = as_sampled(examples(settings, own_thinking(tokenizer, template)), tokenizer, template)
    args = SFTConfig(
        output_dir=str(target / "trainer"),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, settings.steps // 10),
        seed=settings.seed,
        **Precision.choose(settings.use_cpu, settings.bf16).arguments,
        gradient_checkpointing=False,
        completion_only_loss=True,
        max_length=None,  # nothing is cut: `fitting` counts what is too long
        save_strategy="no",
        logging_steps=max(1, settings.steps // 10),
        report_to="none",
        disable_tqdm=True,
    )
    take_one_gpu(args)
    trainer = SFTTrainer(
        model=model.train(),
        processing_class=tokenizer,
        train_dataset=fitting(rows, tokenizer, getattr(model.config, "max_position_embeddings", None), template),
        args=args,
        callbacks=[Progress()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if not all(torch.isfinite(p).all() for p in model.parameters()):
        raise DataError("The warm-up diverged (weights are not finite). Lower --sft_learning_rate.")
    trainer.save_model(str(target))
    tokenizer.save_pretrained(target)
    (target / "warmup.json").write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")


def _train_apart(settings: Warmup, target: Path) -> None:
    """Train in a process of its own: under a distributed launch, a trainer here would wait for all the others."""
    launch = (
        "RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_",
        "TORCHELASTIC_", "ACCELERATE_", "FSDP_",
    )  # fmt: skip
    env = {k: v for k, v in os.environ.items() if not k.startswith(launch)}
    fields = json.dumps(dataclasses.asdict(settings))
    done = subprocess.run(
        [sys.executable, "-m", "rlvr.training.supervised.warmup", str(target), fields], env=env, check=False
    )
    if done.returncode:
        raise DataError(f"The warm-up ended with status {done.returncode}; its message stands above.")


if __name__ == "__main__":
    train(Warmup(**json.loads(sys.argv[2])), Path(sys.argv[1]))
