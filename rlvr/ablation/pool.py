"""Runs the runs: each once, a few at a time, resumed where they stopped, failures kept apart."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import yaml

from rlvr.ablation.plan import Run
from rlvr.callbacks import say
from rlvr.errors import RunError


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "done", "skipped" (it had finished before) or "failed", with the end of its log."""

    run: Run
    status: str
    seconds: float
    log_tail: str = ""


def run_all(runs: tuple[Run, ...], folder: Path, jobs: int) -> list[Outcome]:
    """Train what is not finished, `jobs` at a time, and say how it goes; a failure stops no other run.

    Raises RunError when the folder holds a run of the same name with other settings.
    """
    for run in runs:
        _describe(run, folder)
    outcomes: list[Outcome] = []
    start = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_train, run, folder, jobs) for run in runs]
        for done in as_completed(waiting):
            outcomes.append(done.result())
            trained = [o for o in outcomes if o.status != "skipped"]
            left = len(runs) - len(outcomes)
            rate = (time.monotonic() - start) / max(1, len(trained))
            last = outcomes[-1]
            say(
                f"[{len(outcomes)}/{len(runs)}] {last.run.name} {last.status} in {last.seconds:.0f} s"
                + (f", about {rate * left / 60:.0f} min left" if left and trained else "")
            )
    return [done.result() for done in waiting]


def run_folder(run: Run, folder: Path) -> Path:
    """Return the run directory of a run."""
    return folder / "runs" / run.name


def finished(path: Path) -> bool:
    """Whether a run directory holds a trained model and the evaluations after training."""
    return (path / "model").is_dir() and any((path / "eval" / "after").glob("*.json"))


def _describe(run: Run, folder: Path) -> None:
    """Write the settings of a run beside it; they may not change under a run that exists."""
    path = folder / "settings" / f"{run.name}.yaml"
    text = yaml.safe_dump(dict(run.settings), sort_keys=True)
    if path.is_file() and path.read_text(encoding="utf-8") != text and run_folder(run, folder).exists():
        raise RunError(
            f"{run_folder(run, folder)} was trained with other settings ({path}). Choose another --out, or remove it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _train(run: Run, folder: Path, jobs: int) -> Outcome:
    path = run_folder(run, folder)
    if finished(path):
        return Outcome(run, "skipped", 0.0)
    if path.exists() and not (path / "config.yaml").is_file():
        shutil.rmtree(path)  # broken: it never got as far as describing itself
    log = folder / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    steps = int(run.settings.get("max_steps", 0) or 0)
    command = [
        sys.executable, "-m", "rlvr", "train", "--config", str(folder / "settings" / f"{run.name}.yaml"),
        "--output_dir", str(path), "--resume", "auto", "--no_report",
        "--save_strategy", "steps", "--save_steps", str(max(1, steps // 4)), "--save_total_limit", "1",
    ]  # fmt: skip
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env={"OMP_NUM_THREADS": threads, **os.environ}, check=False
        )
    seconds = time.monotonic() - start
    if done.returncode == 0:
        shutil.rmtree(path / "checkpoints", ignore_errors=True)  # the model is saved; nothing is left to resume
        return Outcome(run, "done", seconds)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    return Outcome(run, "failed", seconds, tail)
