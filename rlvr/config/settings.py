"""Every setting of a run: TrainConfig joins rlvr's fields (run_settings.py) and TRL's GRPOConfig.

A recipe is a flat YAML file with these field names; the command line takes the same names as flags. Unknown
keys are errors. Several recipes merge from left to right: `--config nsr tiny --learning_rate 1e-3`.
"""

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from trl import GRPOConfig

from rlvr.config.checks import TRAIN_RANGES, check_numbers
from rlvr.config.eval_settings import EvalConfig as EvalConfig
from rlvr.config.fields import as_mapping, check_choice, read_answer_format
from rlvr.config.reading import build_config as build_config
from rlvr.config.reading import parse_config as parse_config
from rlvr.config.run_settings import RunSettings
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.distributed import take_one_gpu
from rlvr.core.errors import SpecError
from rlvr.models.choices import BASE_DTYPES, QUANTIZATIONS
from rlvr.models.precision import Precision

LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")  # which TRL knows, at the first step


@dataclass
class TrainConfig(RunSettings, GRPOConfig):
    """Hold the settings of a training run: every GRPOConfig field, with TRL's meaning and, unless listed, default."""

    _VALID_DICT_FIELDS = [*GRPOConfig._VALID_DICT_FIELDS, "rewards"]

    def __post_init__(self) -> None:
        check_numbers(self, TRAIN_RANGES)  # first: what follows calculates with them
        if self.max_completion_length is None:
            raise SpecError("max_completion_length must be a number of tokens, got null: sampling needs an end.")
        folder = self.output_dir
        # TRL's default is bfloat16 everywhere: a hundredfold loss on some CPUs, refused on the others without use_cpu
        for name, value in Precision.choose(self.use_cpu, self.bf16, self.fp16).arguments.items():
            setattr(self, name, value)
        self.chat_template_kwargs = as_mapping("chat_template_kwargs", self.chat_template_kwargs)  # type: ignore[has-type]
        self.model_init_kwargs = as_mapping("model_init_kwargs", self.model_init_kwargs)  # type: ignore[has-type]
        if self.warmup_steps is None:
            self.warmup_steps = _rate_warmup(self.max_steps)
        super().__post_init__()
        take_one_gpu(self)
        self.output_dir = folder or ""  # the run directory; empty means runs/<name>
        read_answer_format(self.answer_format, self.tags)
        if not isinstance(self.rewards, dict) or not self.rewards:
            raise SpecError(f"rewards must map reward terms to weights, got {self.rewards!r}.")
        check_choice(self, "engine", ("rlvr", "trl"))
        check_choice(self, "loss_type", LOSSES)
        check_choice(self, "sampling_dtype", ("auto", "float32", "bfloat16"))
        check_choice(self, "attn_implementation", ("auto", "eager", "sdpa", "flash_attention_2"))
        check_choice(self, "base_dtype", BASE_DTYPES)
        check_choice(self, "quantize", QUANTIZATIONS)
        if self.sft_data and not self.sft_steps:
            raise SpecError(f"sft_data is {self.sft_data!r}, but sft_steps is 0: nothing would read it. Set sft_steps.")

        if self.min_mixed_groups and self.fp16:
            raise SpecError(
                "min_mixed_groups and fp16 do not go together: the loss scaler of fp16 cannot leave an update out. "
                "Take bf16, or float32."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled, into training_args.bin beside every model that is saved: all but the secrets."""
        return {**vars(self), **dict.fromkeys(_SECRET)}

    def __copy__(self) -> "TrainConfig":
        """Return a copy, secrets and all: copy.copy would take what is pickled."""
        twin = object.__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin

    @property
    def answers(self) -> AnswerFormat:
        """Return the form of answer that the run asks for and reads: `answer_format`, with `tags`."""
        return read_answer_format(self.answer_format, self.tags)

    @property
    def precision(self) -> Precision:
        """Return the device and the precision that train, as every trainer of the run takes them."""
        return Precision.choose(self.use_cpu, bool(self.bf16), self.fp16)

    @property
    def sampling_precision(self) -> torch.dtype:
        """Return the precision that samples, in training and in evaluation."""
        name = self.sampling_dtype
        return getattr(torch, ("bfloat16" if self.bf16 else "float32") if name == "auto" else name)

    @property
    def eval_specs(self) -> list[str]:
        """Return the problem sets to measure on."""
        return list(self.eval_data) or [self.data]


def _rate_warmup(updates: int) -> float:
    """Return in how many updates the learning rate rises: a tenth (a share of an unknown number), at most 10.

    Adam's first steps are sign descent on noise: at the full rate they cost accuracy. Under 20 none can be spared.

    >>> [_rate_warmup(updates) for updates in (-1, 19, 50, 150)]
    [0.1, 0, 5, 10]
    """
    if updates < 1:
        return 0.1
    return 0 if updates < 20 else min(10, updates // 10)


_DERIVED = {"output_dir", "generation_batch_size", "activation_checkpointing"}  # of other settings, or this run's own
_SECRET = {"hub_token"}  # who goes on with a run gives it again; run directories are shared


def to_yaml(config: Any) -> str:
    """Write the settings that differ from the defaults, plus rlvr's own, so that --config can read them back.

    Settings are sorted; what is inside one (the reward terms) keeps the user's order.
    """
    return yaml.safe_dump(dict(sorted(to_settings(config).items())), sort_keys=False, allow_unicode=True)


def to_settings(config: Any) -> dict[str, Any]:
    """Return the settings that `to_yaml` writes: no secret is among them."""
    declared_here = {f for base in (RunSettings, EvalConfig) for f in inspect.get_annotations(base)}
    # Compared with the declared defaults: a default *instance* would reset the state of a distributed launch.
    kept = {}
    for f in dataclasses.fields(config):
        if not f.init or f.name in _DERIVED | _SECRET:
            continue
        if f.name == "use_cpu" and not torch.accelerator.is_available():  # says what there was, not what was asked
            continue
        value = getattr(config, f.name)
        default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
        unset = value in (None, []) and default in (None, [], "", "none", "auto")
        if f.name in declared_here or not (value == default or unset):
            kept[f.name] = value.value if hasattr(value, "value") else value
    if kept.get("steps_per_generation") == getattr(config, "gradient_accumulation_steps", None):
        kept.pop("steps_per_generation", None)
    return {k: v for k, v in kept.items() if isinstance(v, str | int | float | bool | list | dict | type(None))}
