"""A run directory: created once, described completely, never overwritten silently.

runs/<recipe>-<model>-s<seed>-<time>/
  config.yaml  command.txt  env.json  code.diff   settings (feed back to --config), argv, versions, local changes
  metrics.jsonl                                   one line per optimizer step
  rollouts/step-00001.parquet                     every completion with its terms, reward, advantage, fate
  difficulty.parquet                              problem id -> attempts, successes
  eval/<when>/<set>.json                          counts and (confidence, correct) pairs, no aggregates
  plots/  report.html  report.md  checkpoints/  model/
"""

import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rlvr.errors import RunError
from rlvr.files import replacing
from rlvr.precision import instruction_sets

PACKAGES = ("rlvr", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")


@dataclass(frozen=True)
class RunDir:
    """The paths inside one run directory."""

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

    def evaluation(self, when: str, spec: str) -> Path:
        """Return the file of the evaluation made `when` ("before" or "after") on the set `spec`."""
        return self.path / "eval" / when / f"{slug(spec)}.json"

    def rewind(self, step: int) -> None:
        """Take back what was written after optimizer step `step`: a resumed run leaves no gap and no double line."""
        kept = [row for row in read_metrics(self.metrics) if row["step"] <= step]
        if self.metrics.is_file():
            with replacing(self.metrics) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        for path in self.rollouts.glob("step-*.parquet"):
            if int(path.stem.rpartition("-")[2]) > step:
                path.unlink()


def slug(text: str) -> str:
    """Turn a spec into a file name.

    >>> slug("arithmetic(levels=[0, 1], mode='mod')")
    'arithmetic-levels-0-1-mode-mod'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "unnamed"


def run_name(recipes: Sequence[str], model: str, seed: int) -> str:
    """Return the default name of a run: <recipe>-<model>-s<seed>-<time>."""
    recipe = "-".join(Path(r).stem for r in recipes) or "run"
    return f"{slug(recipe)}-{slug(Path(model).name)}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


LOCK = ".lock"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if it is not there; RunError when another process holds it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"Another process is writing {path}. Wait until it has ended, or choose another --output_dir."
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def create(path: Path, config_yaml: str, argv: Sequence[str], precision: str | None = None) -> RunDir:
    """Create and describe a run directory; raises RunError when it already holds something or cannot be written."""
    run = RunDir(path)
    try:
        if path.exists() and any(file.name != LOCK for file in path.iterdir()):
            raise RunError(
                f"{path} already holds a run. Choose another --output_dir, or go on with: rlvr train --resume {path}"
            )
        for folder in (path, run.rollouts, run.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        run.config.write_text(config_yaml, encoding="utf-8")
        (path / "command.txt").write_text(shlex.join(argv) + "\n", encoding="utf-8")
        (path / "env.json").write_text(json.dumps(environment(precision), indent=2) + "\n", encoding="utf-8")
        (path / "code.diff").write_text(code_diff(), encoding="utf-8")
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
    return run


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
    source = Path(__file__).parents[1]
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
