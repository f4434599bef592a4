"""Every setting of a run: TrainConfig adds rlvr's fields to TRL's GRPOConfig; EvalConfig is a measurement.

A recipe is a flat YAML file with these field names; the command line takes the same names as flags. Unknown
keys are errors. Several recipes merge from left to right: `--config nsr tiny --learning_rate 1e-3`.
"""

import dataclasses
import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
import yaml
from trl import GRPOConfig

from rlvr.config.checks import EVAL_RANGES, TRAIN_RANGES, check_numbers
from rlvr.config.reading import build_config as build_config
from rlvr.config.reading import parse_config as parse_config
from rlvr.core.answer_format import DEFAULT_TAGS, AnswerFormat
from rlvr.core.distributed import take_one_gpu
from rlvr.core.errors import SpecError, did_you_mean
from rlvr.core.parse import TAGS
from rlvr.core.yaml_file import parse_yaml
from rlvr.models.frozen import BASE_DTYPES, QUANTIZATIONS
from rlvr.models.load import PACKAGED
from rlvr.models.precision import Precision

LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")  # which TRL knows, at the first step


def _setting(default: Any, help: str) -> Any:
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class TrainConfig(GRPOConfig):
    """Hold the settings of a training run: every GRPOConfig field, with TRL's meaning and, unless listed, default."""

    _VALID_DICT_FIELDS = [*GRPOConfig._VALID_DICT_FIELDS, "rewards"]

    # The model
    model: str = _setting(PACKAGED, "Model spec: smollm2-135m-instruct, tiny, a local folder, or a hub id.")
    lora_rank: int = _setting(0, "LoRA rank on every linear layer; 0 trains all weights.")
    attn_implementation: str = _setting(
        "auto", "Attention: auto (transformers' choice), eager, sdpa, flash_attention_2."
    )
    revision: str | None = _setting(None, "Branch, tag or commit of a hub model; None takes its main branch.")
    base_dtype: str = _setting("float32", "Precision of the frozen base's weights under LoRA: float32, bfloat16.")
    quantize: str = _setting("none", "Frozen base under LoRA in 4 bits: none, nf4 (pip install 'rlvr[quantize]').")
    # BEFORE: the problems
    data: str = _setting("arithmetic", "Problem set spec, e.g. 'arithmetic(levels=[0, 1, 2])'.")
    train_size: int = _setting(1024, "Training problems.")
    answer_format: str = _setting(
        "tags", "How answers are given: tags, boxed, last_number, regex(pattern='..'); docs/answers.md."
    )
    tags: list[str] = _setting(
        ["think", "answer", "confidence"], f"Tags that answer_format tags asks for, of {', '.join(TAGS)}."
    )
    system_prompt: str | None = _setting(
        None, "System message; None derives a short one from answer_format, '' sends none."
    )
    chat_template: str | None = _setting(
        None, "Chat template in place of the model's own: chatml, or a file with a Jinja template; docs/models.md."
    )
    profile_n: int = _setting(0, "Samples per training problem that start the pass-rate record; 0 profiles nothing.")
    # The warm-up that teaches the form of answer
    sft_steps: int = _setting(0, "Supervised warm-up steps before training; 0 skips it. Cached.")
    sft_batch_size: int = _setting(16, "Worked solutions per warm-up step.")
    sft_data: str | None = _setting(None, "JSONL of worked rows (prompt, completion); None takes the set's solutions.")
    sft_learning_rate: float = _setting(5e-5, "Peak learning rate of the warm-up.")
    # DURING: the signal
    rewards: dict | str | None = _setting(
        {"correct": 1.0},
        'Reward terms and their weights, as YAML or JSON: \'{"correct": 0.5, "brier": 0.5}\'.',
    )
    allow_hackable: bool = _setting(False, "Train even if some wrong completion can earn more than a right one.")
    advantage: str = _setting(
        "grpo", "Advantage specs, applied in order: 'grpo, drop_near_impossible(threshold=0.05)'."
    )
    dynamic_sampling_tries: int = _setting(
        0, "Tries to replace all-right and all-wrong groups by fresh problems' (DAPO); 0 is off."
    )
    difficulty_band: list[float] = _setting(
        [], "Draw problems whose pass rate lies in [low, high]; [] is a fixed order."
    )
    difficulty_floor: float = _setting(
        0.2, "Share of the draws that ignores the band, so that no problem is locked out."
    )
    max_rollouts: int = _setting(0, "End training before more completions than this are sampled; 0 is no limit.")
    min_mixed_groups: float = _setting(
        0.0, "Take no step where less than this share of a batch's groups holds right and wrong completions."
    )
    record_discount: float = _setting(1.0, "Factor on the pass-rate record's counts at each batch; 1 forgets nothing.")
    stop_on_collapse: bool = _setting(
        False, "End training at the first alarm of a collapse (rlvr/training/callbacks/alarms.py)."
    )
    brier_coef: float = _setting(
        0.0, "Weight of a loss on the stated confidence: its expected Brier score, from the logits; 0 is off."
    )
    # The critic of PPO (rlvr/training/critic.py)
    critic: str = _setting("none", "Value head: none, shared (on the policy's body), separate (on a copy of it).")
    critic_layers: int = _setting(0, "Layers of the policy's body that a separate critic copies; 0 copies all.")
    critic_learning_rate: float = _setting(1e-4, "Learning rate of the critic; follows the policy's schedule.")
    value_coef: float = _setting(0.5, "Weight of the critic's loss beside the policy's.")
    value_clip: float = _setting(0.2, "How far a value may move from the sampling one, in reward units; 0 is freely.")
    # Measuring
    eval_data: list[str] = _setting([], "Problem set specs to measure on; none means the test split of `data`.")
    eval_size: int = _setting(120, "Problems per evaluation set; 0 measures nothing.")
    eval_n: int = _setting(8, "Samples per evaluation problem.")
    eval_temperature: float = _setting(1.0, "Sampling temperature of the evaluation.")
    eval_exact: bool = _setting(
        False, "Compute each problem's chance too, where one text alone is right; pass@k then has no sampling noise."
    )
    # Measuring while it trains, on the validation split of `data` (docs/measure.md)
    eval_every: int = _setting(0, "Measure on validation problems at the start and every so many steps; 0 does not.")
    eval_every_size: int = _setting(0, "Validation problems of these evaluations; 0 takes eval_size.")
    eval_every_n: int = _setting(2, "Samples per validation problem.")
    keep_best: bool = _setting(False, "Keep the model of the step with the best validation pass@1, not of the last.")
    # Where it goes
    output_dir: str | None = _setting(None, "Run directory; None makes runs/<recipe>-<model>-s<seed>-<time>.")
    # Seeds: `seed` is the model's; these default to it
    sampling_seed: int | None = _setting(None, "Seed of the sampled completions; None takes `seed`.")
    eval_seed: int = _setting(1234, "Seed of the evaluation's problems and samples; the same for every run.")
    data_size_seed: int = _setting(0, "Seed of the problem generator (which problems exist, not their order).")
    # Engine room
    sampling_dtype: str = _setting("auto", "Precision that samples: auto (bfloat16 if bf16), float32, bfloat16.")
    engine: str = _setting("rlvr", "Who samples: rlvr (shared prefill, in process) or trl (its own options, vLLM too).")
    pack_prompts: bool = _setting(True, "Compute each prompt once for its group in the training pass, where exact.")
    skip_silent_rows: bool = _setting(True, "Leave rows that add exactly zero to the gradient out of the forward.")
    verify_timeout: float = _setting(2.0, "Wall-clock limit of one verification, in seconds.")
    reward_timeout: float = _setting(10.0, "Wall-clock limit of one call of a reward term of your own, in seconds.")
    max_bad_updates: int = _setting(3, "End the run after so many updates in a row whose gradient is not finite.")
    log_rollouts: bool = _setting(True, "Write every completion to rollouts/*.parquet, and the texts of evaluations.")
    bf16: bool | None = _setting(None, "bfloat16 autocast in training; None takes it where it is fast.")
    # TRL's defaults that do not suit a small model on a small machine
    num_generations: int | None = _setting(8, "Completions per prompt (G).")
    gradient_checkpointing: bool = _setting(False, "Recompute activations to save memory.")
    warmup_steps: float | None = _setting(
        None, "Updates in which the learning rate rises (below 1: a share); None: a tenth of them, at most 10."
    )  # type: ignore[assignment]
    logging_steps: float = _setting(1.0, "Log every so many steps.")
    report_to: None | str | list[str] = _setting("none", "Trackers: none, wandb, trackio, tensorboard, ...")
    disable_tqdm: bool | None = _setting(True, "rlvr prints one line per step instead of a bar.")
    save_only_model: bool = _setting(False, "Leave optimizer state out of checkpoints (no resume).")

    def __post_init__(self) -> None:
        check_numbers(self, TRAIN_RANGES)  # first: what follows calculates with them
        if self.max_completion_length is None:
            raise SpecError("max_completion_length must be a number of tokens, got null: sampling needs an end.")
        folder = self.output_dir
        # TRL's default is bfloat16 everywhere: a hundredfold loss on some CPUs, refused on the others without use_cpu
        for name, value in Precision.choose(self.use_cpu, self.bf16, self.fp16).arguments.items():
            setattr(self, name, value)
        self.chat_template_kwargs = _mapping("chat_template_kwargs", self.chat_template_kwargs)  # type: ignore[has-type]
        self.model_init_kwargs = _mapping("model_init_kwargs", self.model_init_kwargs)  # type: ignore[has-type]
        if self.warmup_steps is None:
            self.warmup_steps = _rate_warmup(self.max_steps)
        super().__post_init__()
        take_one_gpu(self)
        self.output_dir = folder or ""  # the run directory; empty means runs/<name>
        _answer_format(self.answer_format, self.tags)
        if not isinstance(self.rewards, dict) or not self.rewards:
            raise SpecError(f"rewards must map reward terms to weights, got {self.rewards!r}.")
        _check_choice(self, "engine", ("rlvr", "trl"))
        _check_choice(self, "loss_type", LOSSES)
        _check_choice(self, "sampling_dtype", ("auto", "float32", "bfloat16"))
        _check_choice(self, "attn_implementation", ("auto", "eager", "sdpa", "flash_attention_2"))
        _check_choice(self, "base_dtype", BASE_DTYPES)
        _check_choice(self, "quantize", QUANTIZATIONS)
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
        return _answer_format(self.answer_format, self.tags)

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


@dataclass
class EvalConfig:
    """Hold the settings of one measurement of one model on one problem set."""

    set: str = _setting("arithmetic", "Problem set spec, e.g. 'arithmetic(levels=[0, 1])'.")
    split: str = _setting("test", "Split: train, validation, test; all: every row of a file.")
    size: int = _setting(120, "Problems.")
    n: int = _setting(16, "Samples per problem; pass@k is known up to k = n.")
    temperature: float = _setting(1.0, "Sampling temperature; 0 is greedy.")
    top_p: float = _setting(1.0, "Nucleus sampling mass.")
    top_k: int = _setting(0, "Sample from the k likeliest tokens; 0 is all.")
    max_completion_length: int | None = _setting(
        None, "Length limit in tokens; None takes the problem set's, or the model's generation config's."
    )
    seed: int = _setting(1234, "Seed of the samples.")
    data_seed: int = _setting(0, "Seed of the problem generator.")
    answer_format: str = _setting(
        "tags", "How answers are given: tags, boxed, last_number, regex(pattern='..'); docs/answers.md."
    )
    tags: list[str] = _setting(
        ["think", "answer", "confidence"], f"Tags that answer_format tags asks for, of {', '.join(TAGS)}."
    )
    system_prompt: str | None = _setting(None, "System message; None derives one from answer_format, '' sends none.")
    chat_template_kwargs: dict | str | None = _setting(
        None, "What the chat template reads beside the messages, as YAML or JSON: '{\"enable_thinking\": false}'."
    )
    chat_template: str | None = _setting(
        None, "Chat template in place of the model's own: chatml, or a file with a Jinja template; docs/models.md."
    )
    dtype: str = _setting("auto", "Precision that samples: auto (the faster one here), float32, bfloat16.")
    revision: str | None = _setting(None, "Branch, tag or commit of a hub model; None takes its main branch.")
    base_dtype: str = _setting("float32", "Precision in which the weights are held: float32, bfloat16.")
    quantize: str = _setting("none", "Weights in 4 bits: none, nf4 (pip install 'rlvr[quantize]').")
    model_init_kwargs: dict | str | None = _setting(None, "Changed values of the model's config, as YAML or JSON.")
    exact: bool = _setting(
        False, "Compute each problem's chance from the logits and sample nothing: where one text alone is right."
    )
    q_expected: bool = _setting(False, "Read the expectation of every stated confidence from the logits, too.")
    engine: str = _setting("rlvr", "What samples a model: rlvr, transformers (its own generate) or vllm.")
    # An OpenAI-compatible server in place of a model; the key is in OPENAI_API_KEY
    endpoint: str | None = _setting(None, "Address of a server, up to /v1; the model is then a name that it knows.")
    requests_at_once: int = _setting(8, "Requests to the endpoint that are under way together.")
    requests_per_minute: float = _setting(0.0, "Requests that may begin in a minute; 0 is no limit.")
    retries: int = _setting(6, "Times that one request is tried again, waiting longer each time.")
    request_timeout: float = _setting(600.0, "Seconds that one request may take.")
    samples_file: str | None = _setting(None, "Where an endpoint's completions are kept as they come; None: by --out.")
    # AFTER: steer the model without touching its weights (proxy-tuning)
    expert: str | None = _setting(None, "Model spec of a small tuned model whose change is added to this one.")
    antiexpert: str | None = _setting(None, "Model spec of the same small model before it was tuned.")
    alpha: list[float] = _setting([1.0], "How far to steer; several values measure each, one file apiece.")
    verify_timeout: float = _setting(2.0, "Wall-clock limit of one verification, in seconds.")
    texts: str = _setting("parquet", "What is kept of the completions' texts: parquet (beside the JSON) or none.")

    def __post_init__(self) -> None:
        self.chat_template_kwargs = _mapping("chat_template_kwargs", self.chat_template_kwargs)
        _answer_format(self.answer_format, self.tags)
        check_numbers(self, EVAL_RANGES)
        self.model_init_kwargs = _mapping("model_init_kwargs", self.model_init_kwargs)
        _check_choice(self, "dtype", ("auto", "float32", "bfloat16"))
        _check_choice(self, "base_dtype", BASE_DTYPES)
        _check_choice(self, "quantize", QUANTIZATIONS)
        _check_choice(self, "texts", ("parquet", "none"))
        _check_choice(self, "engine", ("rlvr", "transformers", "vllm"))
        if (self.expert or self.antiexpert) and (self.endpoint or self.engine != "rlvr"):
            raise SpecError("expert and antiexpert steer a model in rlvr's own engine: no endpoint, no other engine.")

    @property
    def answers(self) -> AnswerFormat:
        """Return the form of answer that the measurement asks for and reads: `answer_format`, with `tags`."""
        return _answer_format(self.answer_format, self.tags)


def _rate_warmup(updates: int) -> float:
    """Return in how many updates the learning rate rises: a tenth (a share of an unknown number), at most 10.

    Adam's first steps are sign descent on noise: at the full rate they cost accuracy. Under 20 none can be spared.

    >>> [_rate_warmup(updates) for updates in (-1, 19, 50, 150)]
    [0.1, 0, 5, 10]
    """
    if updates < 1:
        return 0.1
    return 0 if updates < 20 else min(10, updates // 10)


def _mapping(name: str, value: Any) -> dict[str, Any] | None:
    """Return a setting that is a mapping, or its YAML or JSON text, as a mapping; None stays None."""
    example = {"chat_template_kwargs": '{"enable_thinking": false}'}.get(name, '{"attention_dropout": 0.1}')
    wanted = f"{name} must map names to values, e.g. '{example}'"
    try:
        mapping = parse_yaml(value, name) if isinstance(value, str) else value
    except SpecError as error:
        raise SpecError(f"{wanted}: {error}") from None
    if mapping is not None and not (isinstance(mapping, dict) and all(isinstance(key, str) for key in mapping)):
        raise SpecError(f"{wanted}, got {value!r}.")
    return mapping


def _answer_format(spec: str, tags: list[str]) -> AnswerFormat:
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


def _check_choice(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    if getattr(config, name) not in allowed:
        raise SpecError(did_you_mean(name, getattr(config, name), allowed))


_DERIVED = {"output_dir", "generation_batch_size", "activation_checkpointing"}  # of other settings, or this run's own
_SECRET = {"hub_token"}  # who goes on with a run gives it again; run directories are shared


def to_yaml(config: Any) -> str:
    """Write the settings that differ from the defaults, plus rlvr's own, so that --config can read them back.

    Settings are sorted; what is inside one (the reward terms) keeps the user's order.
    """
    return yaml.safe_dump(dict(sorted(to_settings(config).items())), sort_keys=False, allow_unicode=True)


def to_settings(config: Any) -> dict[str, Any]:
    """Return the settings that `to_yaml` writes: no secret is among them."""
    declared_here = {f for base in (TrainConfig, EvalConfig) for f in inspect.get_annotations(base)}
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
