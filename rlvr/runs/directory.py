"""Create a run directory once, describe it completely, never overwrite it silently.

runs/<recipe>-<model>-s<seed>-<time>/
  config.yaml  command.txt  env.json  code.diff   settings (feed back to --config), commands, versions, local changes
  metrics.jsonl                                   one line per optimizer step
  rollouts/step-00001.parquet                     every completion with its terms, reward, advantage, what dropped it
  difficulty.parquet                              problem id -> attempts, successes
  eval/<when>/<set>.json                          counts and (confidence, correct) pairs, no aggregates
  best/step-N/  best.json                         with keep_best: the model so far; which step became `model/`
  plots/  report.html  report.md  checkpoints/  model/

Every file is written whole or not at all, metrics.jsonl line by line; `config.yaml` comes last of the description, so a
folder without it holds no run, and `model/` appears when training is over.
"""

import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.core.errors import RunError
from rlvr.core.files import LOCK, sweep, take_lock, write_whole
from rlvr.core.specs import slug
from rlvr.models.precision import instruction_sets

PACKAGES = ("rlvr", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")


@dataclass(frozen=True)
class RunDir:
    """Hold the paths inside one run directory."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts"

    @property
    def difficulty(self) -> Path:
        return self.path / "difficulty.parquet"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def staging(self) -> Path:
        """Return where the model is written before it appears as `model`."""
        return self.path / ".saving"

    @property
    def best(self) -> Path:
        """Return where `keep_best` holds the model of the best step (best/step-N) until training is over."""
        return self.path / "best"

    @property
    def best_step(self) -> Path:
        """Return the file that says of which step `model` is, where `keep_best` chose one."""
        return self.path / "best.json"

    def evaluation(self, when: str, spec: str) -> Path:
        """Return the file of the evaluation made `when` ("before", "after" or "step-N") on the set `spec`."""
        return self.path / "eval" / when / f"{slug(spec)}.json"

    def step_evaluations(self) -> dict[int, Path]:
        """Return optimizer step -> file of the evaluations made while training, in order of steps."""
        files = {step: file for step, folder in self._of_steps("eval") for file in sorted(folder.glob("*.json"))}
        return dict(sorted(files.items()))

    def _of_steps(self, parent: str) -> list[tuple[int, Path]]:
        folders = [f for f in (self.path / parent).glob("step-*") if re.fullmatch(r"step-\d+", f.name)]
        return [(int(folder.name.removeprefix("step-")), folder) for folder in folders]

    def rewind(self, step: int, history: Iterable[Mapping[str, Any]] = ()) -> list[str]:
        """Remove what was written after optimizer step `step`: a resumed run leaves no gap and no double line.

        The model and the evaluations after training go too: they are made again. See `mend_metrics` for the rest.
        """
        notes = self.mend_metrics(history, step)
        for path in self.rollouts.glob("step-*.parquet"):
            if int(path.stem.rpartition("-")[2]) > step:
                path.unlink()
        if self.model.is_dir():  # renamed first: half a model would pass for one
            shutil.rmtree(self.staging, ignore_errors=True)
            self.model.rename(self._place_before(step))
        self.best_step.unlink(missing_ok=True)
        for made_at, folder in (*self._of_steps("eval"), *self._of_steps("best")):
            if made_at > step:
                shutil.rmtree(folder)
        for folder in (self.staging, self.path / "eval" / "after"):
            shutil.rmtree(folder, ignore_errors=True)
        return notes

    def _place_before(self, step: int) -> Path:
        """Return where the trained model goes when training goes on after `step`: away, or back among the best."""
        try:
            chosen = int(json.loads(self.best_step.read_text(encoding="utf-8"))["step"])
        except (OSError, ValueError, TypeError, KeyError):
            return self.staging
        place = self.best / f"step-{chosen}"
        if chosen > step or place.exists():
            return self.staging
        self.best.mkdir(exist_ok=True)
        return place

    def mend_metrics(self, history: Iterable[Mapping[str, Any]], step: float = math.inf) -> list[str]:
        """Keep the lines of metrics.jsonl up to `step`, add those that only `history` has; return what was amiss."""
        rows, damaged = _readable_rows(self.metrics)
        kept = [row for row in rows if row["step"] <= step]
        have = {row["step"] for row in kept}
        lost = [dict(row) for row in history if row["step"] <= step and row["step"] not in have]
        notes = [f"{self.metrics}, line {n} is not readable and is left out" for n in damaged]
        if lost:
            steps = ", ".join(str(row["step"]) for row in lost)
            notes.append(f"{self.metrics} had lost step {steps}: taken from the checkpoint")
        if lost or self.metrics.is_file():
            kept = sorted([*kept, *lost], key=lambda row: row["step"])
            write_whole(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))
        return notes

    def seconds(self) -> float:
        """Return how long the run trained up to the last line of metrics.jsonl, over all its processes."""
        return max((row.get("seconds") or 0.0 for row in _readable_rows(self.metrics)[0]), default=0.0)

    def add_command(self, argv: Sequence[str]) -> None:
        """Add the command that goes on with the run to command.txt, one line a command."""
        path = self.path / "command.txt"
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        write_whole(path, before + command_line(argv) + "\n")

    def sweep(self) -> None:
        """Remove temporary files of a process that was killed; the run must be locked."""
        for folder in ("", "rollouts", "eval/before", "eval/after", "plots"):
            sweep(self.path / folder)
        for _, evaluations in self._of_steps("eval"):
            sweep(evaluations)


def command_line(argv: Sequence[str]) -> str:
    """Return a command as a shell would take it, the value of --hub_token hidden.

    >>> command_line(["rlvr", "train", "--hub_token", "hf_x", "--hub_token=hf_y", "--model", "my folder"])
    "rlvr train --hub_token '***' '--hub_token=***' --model 'my folder'"
    """
    hidden = ["***" if before == "--hub_token" else word for before, word in zip(["", *argv], argv, strict=False)]
    return shlex.join("--hub_token=***" if word.startswith("--hub_token=") else word for word in hidden)


def run_name(recipes: Sequence[str], model: str, seed: int) -> str:
    """Return the default name of a run: <recipe>-<model>-s<seed>-<time>."""
    recipe = "-".join(Path(r).stem for r in recipes) or "run"
    return f"{slug(recipe)}-{slug(Path(model).name)}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if it is not there; RunError when another process holds it."""
    try:
        lock = take_lock(path, "process", "--output_dir")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def create(path: Path, config_yaml: str, argv: Sequence[str], precision: str | None = None) -> RunDir:
    """Create and describe a run directory; raises RunError when it already holds something or cannot be written.

    What a start left that got no further (a full disk, a kill) is written again.
    """
    run = RunDir(path)
    description = (path / "command.txt", path / "env.json", path / "code.diff")
    try:
        if run.config.exists():
            raise RunError(
                f"{path} already holds a run. Choose another --output_dir, or go on with: rlvr train --resume {path}"
            )
        if path.exists():
            run.sweep()
            left = {path / LOCK, *description, *(f for f in (run.rollouts, run.checkpoints) if not any(f.glob("*")))}
            if foreign := sorted(file.name for file in path.iterdir() if file not in left):
                raise RunError(
                    f"{path} holds {foreign[0]!r}, but no config.yaml: it is neither empty nor a run. Choose another "
                    "--output_dir."
                )
        for folder in (path, run.rollouts, run.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        texts = (command_line(argv) + "\n", json.dumps(environment(precision), indent=2) + "\n", code_diff())
        for file, text in zip(description, texts, strict=True):
            write_whole(file, text)
        write_whole(run.config, config_yaml)
    except OSError as error:
        raise _unwritable(path, error) from error
    return run


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"Cannot create the run directory {path}: {error.strerror}. Choose another --output_dir.")


def reopen(path: Path) -> RunDir:
    """Return the run directory at `path` to resume it; raises RunError when it is none."""
    run = RunDir(path)
    if not run.config.is_file():
        raise RunError(f"{path} is not a run directory: it has no config.yaml.")
    try:
        text = run.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"Cannot read {run.config}: {error}. {_RESTORE}") from error
    if not text.strip():
        raise RunError(f"{run.config} is empty, so nobody knows what this run trains. {_RESTORE}")
    return run


_RESTORE = "Put the file back, or start again in another --output_dir."


def environment(precision: str | None = None) -> dict[str, Any]:
    """Describe the software and the machine that a run used, and the precision it chose with the reason."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "instruction_sets": instruction_sets(),
        "precision": precision,
        "packages": versions,
        "git_commit": _git("rev-parse", "HEAD").strip() or None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def code_diff() -> str:
    """Return the uncommitted changes of the checkout that rlvr runs from (empty for an installed package)."""
    return _git("diff", "HEAD")


def _git(*args: str) -> str:
    source = Path(__file__).parents[2]
    if not (source / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(source), *args],
            capture_output=True,
            text=True,
            timeout=20,
            errors="replace",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read the training lines of a metrics.jsonl; a torn last line (a killed run) is left out."""
    rows = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise RunError(f"{path}, line {number} is not JSON: {error.msg}.") from error
    return rows


def _readable_rows(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the lines of a metrics.jsonl that can be read, and the numbers of those before its end that cannot."""
    rows, damaged = [], []
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise ValueError("no step")
            rows.append(row)
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged.append(number)
    return rows, [number for number in damaged if number < len(lines)]  # a kill tears the last line
