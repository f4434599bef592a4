"""Read one run directory as far as it goes: what is missing or broken becomes a note, not a failure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.core.errors import RlvrError, RunError
from rlvr.core.yaml_file import read_yaml
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.eval_file import load_eval

WHEN = ("before", "after")


def read_run(path: Path) -> dict[str, Any]:
    """Return what a run directory holds, and notes on what it lacks.

    Keys: config, env, command, diff, metrics, evals, steps, best, rollouts, difficulty, notes. `evals` maps each set to
    {"before": evaluation, "after": evaluation}, of which either may be absent. `steps` maps an optimizer step to the
    evaluation made there, `best` says which step's model was kept (None: the last). `rollouts` are the paths of the
    readable files, in order of steps. A step that a resumed run logged twice counts once, as logged last.
    `path` may also be an evaluation by itself (.json), of a model or of stored completions: it stands as "after",
    `alone` is True, and there is nothing else.

    Raises:
        RunError: `path` is no folder, or holds neither settings, nor metrics, nor evaluations.
    """
    if path.suffix == ".json" and path.is_file():
        return _read_evaluation(path)
    run = RunDir(path)
    if not path.is_dir():
        raise RunError(f"{path} is not a folder. Give run directories or evaluations (.json), e.g. rlvr report runs/*")
    if not (run.config.exists() or run.metrics.exists() or (path / "eval").exists()):
        raise RunError(f"{path} is not a run directory: it has no config.yaml, metrics.jsonl or eval/.")
    notes: list[str] = []

    def attempt(what: str, read: Callable[[Path], Any], file: Path, default: Any) -> Any:
        try:
            return read(file)
        except FileNotFoundError:
            notes.append(f"{what} is missing.")
        except (RlvrError, OSError, ValueError, pa.ArrowException) as error:
            notes.append(f"{what} cannot be read: {error}")
        return default

    metrics = attempt("metrics.jsonl", read_metrics, run.metrics, [])
    by_step = {row["step"]: row for row in metrics if isinstance(row, dict) and isinstance(row.get("step"), int)}
    evals: dict[str, dict[str, Any]] = {}
    for when in WHEN:
        for file in sorted((path / "eval" / when).glob("*.json")):
            if evaluation := attempt(f"eval/{when}/{file.name}", load_eval, file, None):
                evals.setdefault(file.stem, {})[when] = evaluation
    files = run.step_evaluations().items()
    steps = {
        step: evaluation for step, file in files if (evaluation := attempt(_below(file, path), load_eval, file, None))
    }
    best = attempt("best.json", _read_best, run.best_step, None) if run.best_step.is_file() else None
    rollouts = sorted(run.rollouts.glob("step-*.parquet"))
    readable = [f for f in rollouts if attempt(f"rollouts/{f.name}", pq.read_metadata, f, None)]
    config = attempt("config.yaml", read_yaml, run.config, {})
    result = {
        "config": config,
        "env": attempt("env.json", _read_env, path / "env.json", {}),
        "command": attempt("command.txt", _read_text, path / "command.txt", "").strip(),
        "diff": attempt("code.diff", _read_text, path / "code.diff", ""),
        "metrics": [by_step[step] for step in sorted(by_step)],
        "evals": evals,
        "steps": steps,
        "best": best,
        "rollouts": readable,
        "difficulty": attempt("difficulty.parquet", _read_difficulty, run.difficulty, None),
        "notes": notes,
    }
    notes += _what_is_missing(result)
    return result


def _read_evaluation(path: Path) -> dict[str, Any]:
    evaluation = load_eval(path)
    nothing: dict[str, Any] = {
        "config": {},
        "env": {},
        "command": "",
        "diff": "",
        "metrics": [],
        "steps": {},
        "best": None,
        "rollouts": [],
        "difficulty": None,
        "alone": True,
    }
    return {**nothing, "evals": {str(evaluation.get("set") or path.stem): {"after": evaluation}}, "notes": []}


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _read_env(path: Path) -> dict[str, Any]:
    env = json.loads(_read_text(path))
    if not isinstance(env, dict):
        raise RunError(f"it holds a {type(env).__name__}, not an object.")
    return env


def _read_best(path: Path) -> dict[str, Any]:
    best = json.loads(_read_text(path))
    if not isinstance(best, dict) or not isinstance(best.get("step"), int):
        raise RunError("it names no step.")
    return best


def _below(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _read_difficulty(path: Path) -> dict[str, list[int]]:
    return pq.read_table(path, columns=["attempts", "successes"]).to_pydict()


def _what_is_missing(run: dict[str, Any]) -> list[str]:
    """Say what a reader would look for in vain although every file that exists could be read."""
    notes = []
    planned, logged = run["config"].get("max_steps"), [row["step"] for row in run["metrics"]]
    if not logged:
        notes.append("No training step was logged.")
    elif isinstance(planned, int) and planned > logged[-1]:
        notes.append(f"The run stopped at step {logged[-1]} of {planned}.")
    if not run["rollouts"]:
        notes.append("No rollouts were written, so there are no transcripts.")
    if not run["evals"]:
        notes.append("No evaluation was made, so nothing is known about held-out problems.")
    for name, sides in run["evals"].items():
        notes += [f"{name} was not measured {when} training." for when in WHEN if when not in sides]
    return notes
