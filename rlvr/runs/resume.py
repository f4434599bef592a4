"""Compare a command with the run that it would go on with: which settings differ, which may, whether work is left.

The rule: what decides which model comes out cannot change under a run; how long it trains, how it is measured, watched
and saved, and what is the same to rounding, can (docs/reliability.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlvr.config.recipe_files import read_recipes
from rlvr.config.settings import TrainConfig, build_config, to_settings
from rlvr.core.console import say
from rlvr.core.errors import DataError, RlvrError, RunError
from rlvr.core.records import Problem
from rlvr.runs.directory import RunDir, reopen
from rlvr.runs.eval_file import load_eval

LENGTH = ("max_steps", "num_train_epochs")
MAY_CHANGE = {
    *LENGTH, "max_rollouts", "stop_on_collapse", "max_bad_updates",  # how long
    "eval_data", "eval_size", "eval_n", "eval_temperature", "eval_seed", "eval_exact",  # how it is measured
    "eval_every", "eval_every_size", "eval_every_n",
    "eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "per_device_eval_batch_size",
    "save_strategy", "save_steps", "save_total_limit", "log_rollouts",  # how it is saved and watched
    "disable_tqdm", "log_level", "log_completions", "num_completions_to_print", "report_to", "run_name", "project",
    "trackio_space_id", "logging_strategy", "logging_steps", "logging_first_step", "log_unique_prompts",
    "push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision",
    "verify_timeout", "reward_timeout", "allow_hackable", "trust_remote_code",  # limits and permissions
    "attn_implementation", "pack_prompts", "skip_silent_rows", "gradient_checkpointing", "torch_compile",  # to rounding
    "gradient_checkpointing_kwargs", "torch_compile_backend", "torch_compile_mode", "torch_empty_cache_steps",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
    "use_cpu", "ddp_timeout", "ddp_bucket_cap_mb", "vllm_server_base_url", "vllm_server_host", "vllm_server_port",
    "vllm_server_timeout", "vllm_group_port", "vllm_gpu_memory_utilization",
}  # fmt: skip
CHOOSES = ("eval_every", "eval_every_size", "eval_every_n", "eval_size", "eval_temperature", "eval_seed", "eval_exact")
_OF_THE_MACHINE = ("bf16",)  # the default is what is fast here; the run keeps what it began with
_NO_SCHEDULE = ("constant", "constant_with_warmup", "inverse_sqrt")  # do not know how long training is


def stored_config(run: RunDir) -> TrainConfig:
    """Return the settings that a run was started with; RunError where its config.yaml cannot be read as such."""
    try:
        return build_config(TrainConfig, read_recipes([str(run.config)]), prog="rlvr train")
    except RlvrError as error:
        raise RunError(
            f"The settings of the run {run.path} cannot be read: {error} Put config.yaml back, or start again in "
            "another --output_dir."
        ) from error


def asked_run(
    resume: str | Path | None,
    recipes: Sequence[str],
    argv: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> tuple[TrainConfig, Path | None]:
    """Return the settings that a command (flags) or `rlvr.train` (settings) asks for, and the run to go on with.

    `resume`: None is a new run; a run directory; or "auto", the one in `output_dir` if it has begun.
    Raises RlvrError for "auto" without an `output_dir`, and as `asked_config` does.
    """
    asked, auto = read_recipes(recipes) | dict(settings or {}), str(resume) == "auto"
    path = None if resume is None or auto else Path(resume)
    if path is None:
        config = build_config(TrainConfig, asked, argv, "rlvr train")
        if not auto:
            return config, None
        if not config.output_dir:
            raise RlvrError("--resume auto needs --output_dir: the run directory to go on with, or to start.")
        path = Path(config.output_dir)
        if not RunDir(path).config.is_file():
            return config, None
    return asked_config(path, recipes, argv, whole=auto, settings=settings), path


def asked_config(
    path: Path,
    recipes: Sequence[str],
    argv: Sequence[str],
    whole: bool,
    settings: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """Return the settings that a command asks of the run at `path`; RunError where one differs that cannot change.

    `whole`: the command holds all settings, as the one that started the run (`--resume auto`); otherwise its recipes
    and flags stand above the run's own. `settings` are as a recipe holds them, above the recipes.
    """
    run = reopen(path)
    stored = stored_config(run)
    run_settings = to_settings(stored)
    kept = {name: run_settings[name] for name in _OF_THE_MACHINE if name in run_settings} if whole else run_settings
    asked = build_config(TrainConfig, kept | read_recipes(recipes) | dict(settings or {}), argv, "rlvr train")
    allowed_changes(run, stored, asked)
    return asked


def differences(stored: TrainConfig, asked: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Return name -> (stored, asked) for every setting that is not the same.

    >>> differences(TrainConfig(seed=0), TrainConfig(seed=1))
    {'seed': (0, 1)}
    """
    names = sorted(to_settings(stored).keys() | to_settings(asked).keys())
    pairs = {name: (_plain(getattr(stored, name)), _plain(getattr(asked, name))) for name in names}
    return {name: (was, now) for name, (was, now) in pairs.items() if was != now}


def allowed_changes(run: RunDir, stored: TrainConfig, asked: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Return the `differences`, if the run can go on with them; RunError naming those that it cannot take."""
    changes = differences(stored, asked)
    allowed = MAY_CHANGE - set(CHOOSES) if stored.keep_best else MAY_CHANGE  # these choose the step that is kept
    if refused := {name: pair for name, pair in changes.items() if name not in allowed}:
        listed = "; ".join(f"{name} is {was!r}, asked for {now!r}" for name, (was, now) in refused.items())
        raise RunError(
            f"{run.path} was started with other settings, and these decide which model it trains: {listed}. Leave them "
            "out (rlvr train --resume RUN), or start another run with another --output_dir."
        )
    return changes


def tell(changes: Mapping[str, tuple[Any, Any]], asked: TrainConfig) -> None:
    """Log each change that a run takes, and what a new length does to the learning rate."""
    for name, (was, now) in changes.items():
        say(f"{name}: {now!r} from here on; the run had {was!r}")
    if changes.keys() & set(LENGTH) and asked.lr_scheduler_type not in _NO_SCHEDULE:
        say(
            f"WARNING: the {_plain(asked.lr_scheduler_type)} learning rate ends with the training, so a longer or "
            "shorter run goes on with other rates: it will not be the run that had this length from the start"
        )


def _plain(value: Any) -> Any:
    return value.value if hasattr(value, "value") else value


def missing(run: RunDir, when: str, evals: Mapping[str, Sequence[Problem]], config: TrainConfig) -> dict[str, str]:
    """Return set -> why, for the evaluations that are not there, cannot be read or measured something else."""
    n, exact = config.eval_n, config.eval_exact
    reasons = {spec: lacks(run.evaluation(when, spec), problems, config, n, exact) for spec, problems in evals.items()}
    return {spec: why for spec, why in reasons.items() if why}


def lacks(path: Path, problems: Iterable[Problem], config: TrainConfig, n: int, exact: bool) -> str:
    """Return why a file is not the evaluation of these problems with `n` samples that the config asks for, or ""."""
    if not path.is_file():
        return "not measured yet"
    try:
        evaluation = load_eval(path)
        wanted = {"n": n, "temperature": config.eval_temperature, "seed": config.eval_seed, "exact": exact}
        measured = {key: evaluation.get(key, False) if key == "exact" else evaluation[key] for key in wanted}
        measured |= {"ids": [row["id"] for row in evaluation["problems"]]}
    except (DataError, KeyError, TypeError, ValueError) as error:
        return f"{path} is no whole evaluation ({error})"
    same = measured == wanted | {"ids": [problem.id for problem in problems]}
    return "" if same else f"{path} is of other problems or samples than the settings say"


def trained(run: RunDir, config: TrainConfig) -> bool:
    """Return whether a run has trained as long as `config` says: its model appears whole or not at all."""
    return run.model.is_dir() and not differences(stored_config(run), config).keys() & set(LENGTH)


def finished(run: RunDir, evals: Mapping[str, Sequence[Problem]], config: TrainConfig) -> bool:
    """Return whether nothing is left to do: trained, and measured before and after on these sets."""
    return trained(run, config) and not any(missing(run, when, evals, config) for when in ("before", "after"))
