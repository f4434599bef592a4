"""Write a model's card from its run: what it began with, how it was trained, what was measured, with intervals."""

import math
from collections.abc import Mapping
from typing import Any

import yaml

from rlvr.measure.metrics import Interval
from rlvr.report import tables
from rlvr.report.markdown import escape, markdown_table
from rlvr.report.measured import summarise_sides
from rlvr.report.origin import Origin
from rlvr.report.show import visible
from rlvr.report.tables import Table

_SHOWN = (
    "data", "rewards", "advantage", "answer_format", "tags", "system_prompt", "chat_template_kwargs", "loss_type",
    "learning_rate", "lora_rank", "base_dtype", "quantize", "max_steps", "num_generations",
    "per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length", "temperature", "beta",
    "seed",
)  # fmt: skip
_VERSIONS = ("rlvr", "torch", "transformers", "trl", "peft")


def model_card(name: str, run: Mapping[str, Any], base: Origin, dtype: str, merged: bool) -> str:
    """Return the README.md of an exported model: `run` is what `read_run` returns."""
    config = run["config"]
    parts = [
        f"# {escape(name)}",
        _what(run, base, dtype, merged),
        "## What was measured",
        *_measured(run),
        "## How to use it",
        _use(config),
        "## How it was trained",
        markdown_table(Table(("setting", "value"), [(key, str(config[key])) for key in _SHOWN if config.get(key)])),
        f"The command (`rlvr` is the package of that name):\n\n```\n{_block(run['command'] or '(unknown)')}\n```",
        "All settings, which `rlvr train --config FILE` takes:\n\n```yaml\n"
        + _block(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        + "```",
        _versions(run["env"]),
        "## Licence",
        _licence(base),
    ]
    front = yaml.safe_dump(_front_matter(base), sort_keys=False)
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(base: Origin) -> dict[str, Any]:
    """Return what the hub reads."""
    return {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        **({"base_model": base.hub, "base_model_relation": "finetune"} if base.hub else {}),
        **({"license": base.licence} if base.licence else {}),
        "tags": ["rlvr", "reinforcement-learning", "trl"],
    }


def _what(run: Mapping[str, Any], base: Origin, dtype: str, merged: bool) -> str:
    config = run["config"]
    steps = run["metrics"][-1]["step"] if run["metrics"] else 0
    at = f" (revision {escape(base.revision)})" if base.revision else ""
    of = f"[{base.hub}](https://huggingface.co/{base.hub}){at}" if base.hub else escape(base.spec)
    before = f" Before that: {escape('; '.join(base.steps))}." if base.steps else ""
    how = "its LoRA adapter merged into the base" if merged else "all its weights trained"
    return (
        f"{of}, trained with reinforcement learning with verifiable rewards for {steps} steps on "
        f"{escape(str(config.get('data')))}: {how}, saved in {dtype}.{before}"
    )


def _measured(run: Mapping[str, Any]) -> list[str]:
    if not run["evals"]:
        return ["Nothing was measured."]
    parts = []
    for sides in run["evals"].values():
        measured = summarise_sides(sides)
        facts = measured["facts"]
        parts += [
            f"{facts['problems']} problems of `{_code(facts['spec'] or facts['set'])}` (split {facts['split']}), "
            f"{facts['n']} samples each at temperature {facts['temperature']:g}, at most "
            f"{facts['max_completion_length']} tokens. An interval is a 95% bootstrap over problems; the difference is "
            "paired by problem.",
            markdown_table(tables.metrics(measured, _known(measured))),
            "\n".join(f"- {escape(note)}" for note in measured["notes"]),
        ]
    return [*parts, "Measured on the policy as it was trained, before the weights were rounded for this copy."]


def _known(measured: Mapping[str, Any]) -> list[str]:
    """Return the metrics that some side has a number for."""
    sides = [measured[when] for when in ("before", "after") if when in measured]
    return [
        name
        for name in dict.fromkeys(key for side in sides for key in side)
        if any(isinstance(side.get(name), Interval) and not math.isnan(side[name].value) for side in sides)
    ]


def _use(config: Mapping[str, Any]) -> str:
    system = config.get("system_prompt")
    message = f'{{"role": "system", "content": {system!r}}}, ' if system else ""
    kwargs, limit = config.get("chat_template_kwargs") or {}, config.get("max_completion_length", 256)
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
        f'chat = [{message}{{"role": "user", "content": "..."}}]\n'
        f"inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, "
        f'return_tensors="pt"{"".join(f", {key}={value!r}" for key, value in kwargs.items())})\n'
        f"print(tokenizer.decode(model.generate(**inputs, max_new_tokens={limit})[0]))"
    )
    derived = " (a system message was derived from it)" if system is None else ""
    form = f"It was trained to answer in the form `{_code(config.get('answer_format', 'tags'))}`"
    tags = f" with the tags {escape(', '.join(config['tags']))}" if config.get("tags") else ""
    return f"{form}{tags}{derived}.\n\n```python\n{_block(code)}\n```"


def _versions(env: Mapping[str, Any]) -> str:
    versions = env.get("packages") or {}
    known = ", ".join(f"{name} {versions[name]}" for name in _VERSIONS if versions.get(name))
    precision = f" Computed in {env['precision']}." if env.get("precision") else ""
    commit = f" Commit {env['git_commit']}." if env.get("git_commit") else ""
    return escape(f"Trained with {known}.{precision}{commit}") if known else ""


def _licence(base: Origin) -> str:
    of = base.hub or base.spec
    if base.licence is None:
        return f"Unknown: the licence of {escape(of)} was not found, and it decides what may be done with this model."
    return f"That of {escape(of)}: {escape(base.licence)}. The training data may have a licence of their own."


def _block(text: str) -> str:
    """Return text that cannot end a fenced block."""
    return visible(text).replace("```", "'''")


def _code(text: Any) -> str:
    """Return one line that can stand between backticks."""
    return " ".join(visible(str(text)).split()).replace("`", "'")
