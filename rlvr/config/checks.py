"""Check a setting: its type, as the config declares it, and the range of its numbers."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from rlvr.core.errors import SpecError


class Range(NamedTuple):
    """Hold the numbers that a setting may have: from `low` on (not `low` itself where `above`), up to `high`."""

    low: float
    high: float = math.inf
    above: bool = False
    unit: str = ""
    note: str = ""

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return (value > self.low if self.above else value >= self.low) and value <= self.high

    def __str__(self) -> str:
        """Return the range in words, to stand after "must"."""
        if self.high < math.inf:
            return f"lie in {'(' if self.above else '['}{self.low:g}, {self.high:.10g}]"
        if self.above and not self.low:
            return f"be a positive number{self.unit}"
        return f"be {self.low:g}{self.note} or more" if self.note else f"be at least {self.low:g}"


COUNT, SOME = Range(0), Range(1)
POSITIVE, NOT_NEGATIVE = Range(0, above=True), Range(0)
SHARE, SOME_SHARE = Range(0, 1), Range(0, 1, above=True)
SEED = Range(0, 2**32 - 1)  # what NumPy takes
SECONDS = Range(0, above=True, unit=" of seconds")
TEMPERATURE = Range(0, note=" (greedy)")

# The numbers that a run can be made with, beside what TRL, check_critic and DifficultySampler check on their own.
TRAIN_RANGES: dict[str, Range] = {
    **dict.fromkeys(("seed", "data_seed", "sampling_seed", "eval_seed", "data_size_seed"), SEED),
    **dict.fromkeys(("learning_rate", "sft_learning_rate"), NOT_NEGATIVE),
    **dict.fromkeys(("per_device_train_batch_size", "gradient_accumulation_steps", "num_generations"), SOME),
    **dict.fromkeys(("num_iterations", "steps_per_generation", "max_completion_length", "train_size"), SOME),
    **dict.fromkeys(("sft_batch_size", "eval_n", "eval_every_n", "max_bad_updates"), SOME),
    **dict.fromkeys(("eval_every", "eval_every_size"), COUNT),
    **dict.fromkeys(("eval_size", "lora_rank", "sft_steps", "profile_n", "dynamic_sampling_tries"), COUNT),
    **dict.fromkeys(("max_rollouts", "top_k", "save_total_limit"), COUNT),
    **dict.fromkeys(("weight_decay", "max_grad_norm", "adam_epsilon", "epsilon", "epsilon_high"), NOT_NEGATIVE),
    **dict.fromkeys(("beta", "brier_coef", "num_train_epochs", "warmup_steps"), NOT_NEGATIVE),
    **dict.fromkeys(("temperature", "repetition_penalty", "logging_steps", "save_steps"), POSITIVE),
    **dict.fromkeys(("difficulty_band", "difficulty_floor", "record_discount", "min_p"), SHARE),
    "min_mixed_groups": SHARE,
    **dict.fromkeys(("adam_beta1", "adam_beta2"), Range(0, 1 - 1e-9)),  # 1 divides by zero
    **dict.fromkeys(("verify_timeout", "reward_timeout"), SECONDS),
    "max_steps": Range(-1),  # -1: as many as num_train_epochs takes
    "eval_temperature": TEMPERATURE,
    "top_p": SOME_SHARE,
}
EVAL_RANGES: dict[str, Range] = {
    **dict.fromkeys(("size", "n", "max_completion_length", "requests_at_once"), SOME),
    "requests_per_minute": NOT_NEGATIVE,
    "retries": COUNT,
    "request_timeout": SECONDS,
    **dict.fromkeys(("seed", "data_seed"), SEED),
    "alpha": Range(-1e6, 1e6),
    "top_k": COUNT,
    "temperature": TEMPERATURE,
    "top_p": SOME_SHARE,
    "verify_timeout": SECONDS,
}


def check_numbers(config: Any, ranges: Mapping[str, Range]) -> None:
    """Raise SpecError for the first setting outside its range, as NaN always is; None is left alone.

    >>> check_numbers(types.SimpleNamespace(rate=float("nan")), {"rate": POSITIVE})
    Traceback (most recent call last):
    ...
    rlvr.core.errors.SpecError: rate must be a positive number, got nan.
    """
    for name, allowed in ranges.items():
        value = getattr(config, name)
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and one not in allowed:
                raise SpecError(f"{name} must {allowed}, got {one!r}.")


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raise SpecError when a value out of a file is not of the type that its setting declares.

    >>> check_type("tags", ["answer"], list[str])
    >>> check_type("tags", 5, list[str])
    Traceback (most recent call last):
    ...
    rlvr.core.errors.SpecError: Setting 'tags' must be a list of text, found 5.
    """
    if not _fits(value, hint):
        shown = "null" if value is None else f"{value!r:.80}"
        raise SpecError(f"Setting {name!r} must be {_words(hint)}, found {shown}.")


def _fits(value: Any, hint: Any) -> bool:
    kind, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inside)
    if kind is typing.Literal:
        return value in inside
    if kind is list:
        return isinstance(value, list) and all(_fits(one, inside[0]) for one in value)
    if hint in (int, float):  # to Python, True is a number
        return not isinstance(value, bool) and isinstance(value, int if hint is int else int | float)
    return isinstance(value, kind or hint)


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping"}


def _words(hint: Any) -> str:
    kind, inside = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inside))
    if kind is typing.Literal:
        return " or ".join(map(repr, inside))
    if kind is list:
        return "a list of " + _words(inside[0]).removeprefix("a ").replace("number", "numbers")
    if hint is type(None):
        return "null"
    return _WORDS.get(kind or hint, getattr(hint, "__name__", str(hint)))
