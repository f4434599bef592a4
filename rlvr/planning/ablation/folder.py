"""The folder of an ablation: where its runs are, which have finished, and what in it is rlvr's.

ablations/<name>/
  ablation.yaml        the file that it was started with
  settings/<run>.yaml  every setting of a run
  runs/<run>/          its run directory (docs/run-directory.md)
  measured/<run>.jsonl what the function under `measure` returned for it, a line for each time
  logs/<run>.log       what its process said, every start after the other
  report.md  plots/    the comparison; `rlvr report` adds differences.csv and differences.tex

Nothing is removed but the checkpoints of a run that has finished.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from rlvr.core.errors import RlvrError, RunError, SpecError
from rlvr.core.files import LOCK, replacing
from rlvr.core.yaml_file import read_yaml
from rlvr.planning.ablation.arms import Ablation, Run
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import load_eval

# What a run directory holds before it describes itself in config.yaml.
_BEGUN = {LOCK, "command.txt", "env.json", "code.diff", "rollouts", "checkpoints"}


def run_folder(run: Run, folder: Path) -> Path:
    """Return the run directory of a run."""
    return folder / "runs" / run.name


def evaluated(path: Path, when: str) -> list[dict[str, Any]] | None:
    """Return the evaluations that a run made `when` ("before" or "after"), in the order of its sets.

    None unless all are there that its settings name: part of a measurement is none.
    """
    try:
        settings = read_yaml(RunDir(path).config)  # not as a TrainConfig: another machine may have made it
        specs = settings.get("eval_data") or [settings["data"]] if settings.get("eval_size", 1) else []
        return [load_eval(RunDir(path).evaluation(when, spec)) for spec in specs]
    except (RlvrError, OSError, KeyError, TypeError):
        return None


def finished(path: Path) -> bool:
    """Return whether a run directory holds a trained model and *all* evaluations after training that it should."""
    return (path / "model").is_dir() and evaluated(path, "after") is not None


def is_ablation(folder: Path) -> bool:
    """Return whether a folder was made by `rlvr ablate`: it holds settings of runs, and is no run itself."""
    return any((folder / "settings").glob("*-s*.yaml")) and not RunDir(folder).config.exists()


def prepare(ablation: Ablation, folder: Path) -> None:
    """Check that the folder can take the ablation and describe every run in it; nothing is written if one check fails.

    Raises RunError when a run exists with other settings (each is named), or something is in its place that is no run.
    """
    if (folder / "report.md").exists() and not (folder / "settings").is_dir():
        raise RunError(f"{folder} holds a report.md but no ablation. Choose another --out.")
    for run in ablation.runs:
        _check_place(run, folder)
    for run in ablation.runs:
        _write_yaml(_settings_file(run, folder), dict(run.settings))


def remove_checkpoints(path: Path) -> None:
    """Remove the checkpoints of a run that has finished: its model is saved, and nothing is left to resume."""
    for checkpoint in (path / "checkpoints").glob("checkpoint-*"):
        if re.fullmatch(r"checkpoint-\d+", checkpoint.name) and not checkpoint.is_symlink():
            shutil.rmtree(checkpoint, ignore_errors=True)


def _settings_file(run: Run, folder: Path) -> Path:
    return folder / "settings" / f"{run.name}.yaml"


def _check_place(run: Run, folder: Path) -> None:
    """Raise RunError when the run directory of a run is something else, or holds a run with other settings."""
    path, stored = run_folder(run, folder), _settings_file(run, folder)
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path} is a file in the place of a run. Move it away, or choose another --out.")
    if not (path / "config.yaml").exists():
        foreign = sorted(f.name for f in path.iterdir() if f.name not in _BEGUN and not f.name.endswith(".tmp"))
        if foreign:
            raise RunError(
                f"{path} holds {foreign[0]!r} but no config.yaml: it is no run of rlvr's and stays as it is. "
                "Move it away, or choose another --out."
            )
        return
    try:
        before = read_yaml(stored)
    except (OSError, SpecError):
        return  # lost: the run's own config.yaml says what it trains, and rlvr train compares
    before.pop("hub_token", None)  # as files of before 2026-11-24 may have it
    if changed := list(changes(before, run.settings)):
        raise RunError(
            f"{path} was trained with other settings: {'; '.join(changed)}. Choose another --out, or remove that run."
        )


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[str]:
    """Name the settings that differ between two mappings, with both values.

    >>> list(changes({"max_steps": 20, "seed": 0}, {"max_steps": 30, "seed": 0, "beta": 0.1}))
    ['max_steps was 20 and is 30', 'beta was not set and is 0.1']
    """
    for key in dict.fromkeys([*before, *now]):
        was, value = (repr(side[key]) if key in side else "not set" for side in (before, now))
        if was != value and before.get(key) != now.get(key):
            yield f"{key} was {was} and is {value}"


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
