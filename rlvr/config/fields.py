"""Declare a setting with its default and its help, and read the values that several configs share; no torch."""

from dataclasses import field
from typing import Any

from rlvr.core.answer_format import DEFAULT_TAGS, AnswerFormat
from rlvr.core.errors import SpecError, did_you_mean
from rlvr.core.parse import TAGS
from rlvr.core.yaml_file import parse_yaml


def setting(default: Any, help: str) -> Any:
    """Declare a field of a config: a list or dict is copied for each, and its help is what --help prints."""
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


def as_mapping(name: str, value: Any) -> dict[str, Any] | None:
    """Return a setting that is a mapping, or its YAML or JSON text, as a mapping; None stays None."""
    examples = {
        "chat_template_kwargs": '{"enable_thinking": false}',
        "vllm_kwargs": '{"gpu_memory_utilization": 0.8}',
    }
    example = examples.get(name, '{"attention_dropout": 0.1}')
    wanted = f"{name} must map names to values, e.g. '{example}'"
    try:
        mapping = parse_yaml(value, name) if isinstance(value, str) else value
    except SpecError as error:
        raise SpecError(f"{wanted}: {error}") from None
    if mapping is not None and not (isinstance(mapping, dict) and all(isinstance(key, str) for key in mapping)):
        raise SpecError(f"{wanted}, got {value!r}.")
    return mapping


def read_answer_format(spec: str, tags: list[str]) -> AnswerFormat:
    """Return the format that the two settings name; SpecError where tags are given to a format that has none."""
    for tag in tags:
        if tag not in TAGS:
            raise SpecError(did_you_mean("tag", tag, TAGS))
    answers = AnswerFormat.of(spec, tags)
    if answers.place is not None and tuple(tags) != DEFAULT_TAGS:
        raise SpecError(
            f"The tags {tags} belong to answer_format 'tags', and it is {spec!r}. Leave them out, and say there what "
            "is wanted beside the answer: thinking='tags', confidence='tag' or 'line'."
        )
    return answers


def check_choice(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    """Raise SpecError ("did you mean") where a setting is none of those allowed."""
    if getattr(config, name) not in allowed:
        raise SpecError(did_you_mean(name, getattr(config, name), allowed))
