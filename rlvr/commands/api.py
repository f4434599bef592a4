"""Train and measure from Python: what `rlvr train`, `rlvr evaluate` and `rlvr score` do, from the same strings.

`rlvr.train` and `rlvr.measure.evaluate` call these functions (rlvr/core/callable_module.py says how).
"""

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.advantages import Transform, build, chain
from rlvr.config.score_settings import ScoreConfig
from rlvr.config.settings import EvalConfig, TrainConfig, build_config
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import ModelError, SpecError
from rlvr.core.malloc_settings import keep_freed_memory
from rlvr.measure.evaluate import evaluate_config, evaluate_policy
from rlvr.measure.stored.rows import column_map
from rlvr.measure.stored.score import score as score_stored
from rlvr.measure.stored.score import score_log
from rlvr.models.chat_template import with_chat_template
from rlvr.models.load import evaluating
from rlvr.planning.resolve import resolve_config
from rlvr.problems.sets import ProblemSet
from rlvr.report.results import Evaluation, Run
from rlvr.rewards.terms import Term
from rlvr.runs.directory import RunDir
from rlvr.runs.resume import asked_run, finished
from rlvr.runs.texts_file import without_texts
from rlvr.train import train_run


def train(
    model: str | os.PathLike[str] | None = None,
    data: str | None = None,
    rewards: Mapping[Any, float] | None = None,
    advantage: str | Transform | None = None,
    *,
    config: str | os.PathLike[str] | Sequence[str] = (),
    resume: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Run:
    """Train a model on verifiable rewards, measure it before and after, and return the run.

    Args:
        model: model spec: `smollm2-135m-instruct`, `tiny`, a local folder, or a hub id.
        data: problem set spec, e.g. "arithmetic(levels=[0, 1])".
        rewards: reward term -> weight.
        advantage: advantage specs, applied in order ("grpo, drop_truncated"), or a chain of built-in transforms.
        config: recipes by name or path, merged left to right; what is given beside them wins.
        resume: a run directory to go on with, or "auto": the one in `output_dir` if it has begun, else a new one.
        settings: any other field of TrainConfig (`max_steps=50`, `learning_rate=1e-5`, `output_dir="runs/mine"`).

    Everything is checked before the model is loaded. Raises SpecError for an unknown name ("did you mean"), and
    what `rlvr train` prints as an error.
    """
    given = {"model": model, "data": data, "rewards": rewards, "advantage": advantage}
    recipes = [os.fspath(name) for name in ([config] if isinstance(config, str | os.PathLike) else config)]
    written = {k: _plain(k, v) for k, v in {**{k: v for k, v in given.items() if v is not None}, **settings}.items()}
    keep_freed_memory()
    checked, path = asked_run(resume if resume is None else os.fspath(resume), recipes, settings=written)
    resolved = resolve_config(checked)
    if path is not None and finished(RunDir(path), resolved.eval_problems, resolved.config):
        return Run(path)
    argv = [*_command(recipes, written), *(["--resume", str(resume)] if resume is not None else [])]
    return Run(train_run(resolved, recipes, argv, path).path)


def evaluate(
    model: Any,
    data: str | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    **settings: Any,
) -> Evaluation:
    """Sample n completions for each problem of a set and return the evaluation: pass@k, calibration, every sample.

    Args:
        model: a model spec or folder, a Run (its trained model), a trainer, or a model with its `tokenizer`; with
            `endpoint="http://.../v1"` the name that the server knows.
        data: problem set spec; None takes the run's or the trainer's own set, else EvalConfig's default.
        settings: fields of EvalConfig (`n=16`, `size=200`, `temperature=0.6`, `max_completion_length=512`). A Run
            or a trainer with a TrainConfig is measured as its own evaluations are, unless these say otherwise.

    Training state and random states stay as they were. Raises SpecError for an unknown setting ("did you mean") and
    ModelError where there is nothing to sample from.
    """
    usual: dict[str, Any] = {}
    if isinstance(model, Run):
        usual, model = _as_trained(model.config), model.model
    elif hasattr(model, "train_dataset") and hasattr(model, "processing_class"):
        if getattr(model, "sharded", False):
            raise ModelError("No process holds this trainer's whole model: save_model() it, and evaluate that folder.")
        usual, tokenizer = _as_trained(vars(model.args)), tokenizer or model.processing_class
        model = model.accelerator.unwrap_model(model.model)
    if "answer_format" in settings:
        usual.pop("tags", None)  # they belong to the form that was trained
    chosen = {**usual, **({} if data is None else {"set": data}), **settings}
    measurement = build_config(EvalConfig, {k: _plain(k, v) for k, v in chosen.items()}, prog="rlvr.measure.evaluate")
    if len(measurement.alpha) != 1:
        raise SpecError(f"rlvr.measure.evaluate makes one evaluation: give one alpha, got {measurement.alpha}.")
    keep_freed_memory()
    if isinstance(model, str | os.PathLike):
        (evaluation,) = evaluate_config(os.fspath(model), measurement)
        return Evaluation(evaluation)
    if not isinstance(model, PreTrainedModel) and not hasattr(model, "get_base_model"):
        raise ModelError(
            f"Cannot sample from a {type(model).__name__}: give a model spec, folder, Run, trainer or model."
        )
    if tokenizer is None:
        raise ModelError("A loaded model comes with its tokenizer: rlvr.evaluate(model, data, tokenizer=tokenizer).")
    if measurement.endpoint or measurement.engine == "vllm":
        raise SpecError(
            "An endpoint or vLLM samples from a model that is given by its name, not from a loaded one. For vLLM, "
            "save_pretrained() it with its tokenizer, and give that folder."
        )
    if measurement.expert or measurement.antiexpert:
        raise SpecError("expert and antiexpert steer a model that is given by its spec or folder.")
    name = getattr(model.config, "_name_or_path", "") or type(model).__name__
    if measurement.chat_template:
        tokenizer = with_chat_template(copy.deepcopy(tokenizer), name, measurement.chat_template)
    problem_set = ProblemSet.of(measurement.set)
    problems = problem_set.load(measurement.split, measurement.size, measurement.data_seed)
    with evaluating(model):
        (evaluation,) = evaluate_policy(model, tokenizer, problem_set, problems, name, measurement)
    return Evaluation(evaluation)


def score(
    source: str | os.PathLike[str] | Evaluation | Iterable[Mapping[str, Any]],
    data: str | None = None,
    *,
    columns: Sequence[str] | Mapping[str, str] = (),
    **settings: Any,
) -> Evaluation:
    """Judge completions that were made elsewhere and return their evaluation, as if rlvr had sampled them.

    Args:
        source: a JSONL or Parquet file, rows in memory, or an evaluation that kept its texts (to be judged again).
        data: spec of the problem set that was asked; without it `verifier="number"` (or exact, math, ...) compares
            with the rows' gold column.
        columns: names of columns that are called otherwise, {"completion": "output"}; docs/measure.md lists them.
        settings: fields of ScoreConfig (`split="all"`, `model="gpt-x"`, `tags=["answer"]`).

    Raises DataError that names a row which cannot be used, SpecError for an unknown setting ("did you mean").
    """
    mapped = [f"{field}={column}" for field, column in column_map(columns).items()]
    chosen = {**({} if data is None else {"set": data}), **settings, "columns": mapped}
    config = build_config(ScoreConfig, {k: _plain(k, v) for k, v in chosen.items()}, prog="rlvr.score")
    if isinstance(source, Evaluation):
        found = score_stored(source.with_texts(), config)
    elif isinstance(source, str | os.PathLike):
        found = score_stored(Path(source), config)
    else:
        found = score_stored(source, config)
    return Evaluation(found if config.texts == "parquet" else without_texts(found))


def import_log(
    log: str | os.PathLike[str],
    *,
    kind: str | None = None,
    metric: str | None = None,
    filter: str | None = None,
    **settings: Any,
) -> Evaluation:
    """Return the evaluation that stands in another tool's sample log: of lm-eval, lighteval, inspect or TRL.

    Args:
        log: samples_*.jsonl (lm-eval), details_*.parquet (lighteval), *.eval (inspect), completions_*.parquet (TRL).
        kind: "lm_eval", "lighteval", "inspect" or "trl"; None tells it from the file.
        metric: the log's score whose 1 means right; None takes the only one.
        filter: the answer filter, where an lm-eval log has several.
        settings: fields of ScoreConfig: with `set` or `verifier` the texts are judged anew, without them the log's
            verdicts stand.
    """
    config = build_config(ScoreConfig, {k: _plain(k, v) for k, v in settings.items()}, prog="rlvr.import_log")
    found = score_log(Path(log), config, kind, metric, filter)
    return Evaluation(found if config.texts == "parquet" else without_texts(found))


def _as_trained(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the EvalConfig settings with which a run of this config measures itself; absent where it does not say."""
    names = {
        "size": "eval_size", "n": "eval_n", "temperature": "eval_temperature", "seed": "eval_seed",
        "data_seed": "data_size_seed", "max_completion_length": "max_completion_length", "tags": "tags",
        "answer_format": "answer_format",
        "system_prompt": "system_prompt", "verify_timeout": "verify_timeout",
        "chat_template_kwargs": "chat_template_kwargs",
        "base_dtype": "base_dtype", "quantize": "quantize",
    }  # fmt: skip
    # config.yaml leaves out what has TRL's default.
    config = {"max_completion_length": TrainConfig.max_completion_length} | dict(config)
    sets = config.get("eval_data") or [config.get("data")]
    taken = {name: config.get(key) for name, key in names.items()} | {"set": sets[0] if len(sets) == 1 else None}
    changes = {key: value for key, value in (config.get("model_init_kwargs") or {}).items() if key != "revision"}
    taken["model_init_kwargs"] = changes or None  # the trained model knows its revision
    sampled = config.get("sampling_dtype", "auto")
    if sampled == "float32" or (sampled == "auto" and not config.get("bf16")):
        taken["dtype"] = "float32"  # where bfloat16 is native, it would be the faster one; the run did without
    return {name: value for name, value in taken.items() if value is not None and (name, value) != ("size", 0)}


def _plain(name: str, value: Any) -> Any:
    """Return a setting as a recipe holds it: text, numbers, lists and dicts, so that config.yaml can say it."""
    if isinstance(value, Transform):
        text = ", ".join(map(repr, value.transforms if isinstance(value, chain) else [value]))
        try:
            same = build(text) == chain(value)
        except SpecError:
            same = False
        if not same:
            raise SpecError(
                f"{name} {value!r} cannot be written into config.yaml. Give a spec: advantage='./file.py:name'."
            )
        return text
    if isinstance(value, AnswerFormat):
        return str(value)
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str | Term)]:
            raise SpecError(
                f"{name} maps specs to weights, found the key {odd[0]!r}. A function of yours goes by its file: "
                "'./file.py:function'; or into RLVRTrainer(reward_funcs=...)."
            )
        return {str(key): _plain(name, one) for key, one in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Sequence):
        return [_plain(name, one) for one in value]
    if callable(value):
        raise SpecError(f"{name} takes text or numbers, found {value!r}. Built objects go into RLVRTrainer.")
    return value.item() if hasattr(value, "item") else value  # a NumPy or torch scalar


def _command(recipes: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return the command line that makes the same run, for command.txt."""
    argv = ["rlvr", "train", *(["--config", *recipes] if recipes else [])]
    for name, value in settings.items():
        if isinstance(value, list):
            argv += [f"--{name}", *map(str, value)]
        elif isinstance(value, dict):
            argv += [f"--{name}", json.dumps(value)]
        elif value is not None:
            argv += [f"--{name}", str(value)]
    return argv
