"""Start a process for each run of an ablation, a few at a time; resume stopped ones, pass signals on, list failures."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rlvr.core.console import say
from rlvr.core.errors import Stopped
from rlvr.planning.ablation.arms import Run
from rlvr.planning.ablation.folder import finished, remove_checkpoints, run_folder
from rlvr.planning.ablation.hold import forget, note
from rlvr.planning.ablation.measure import Measure, command, is_measured, measured_file

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
POLL = 0.1  # seconds between looks at the processes
PROGRESS = 20.0  # seconds between lines on the runs that are being trained
_HEAD = "=="  # begins the line of a log that says when it was started


@dataclass(frozen=True)
class Outcome:
    """Hold how a run ended: "done", "skipped" (it had finished before), "stopped" or "failed", and its log's end."""

    run: Run
    status: str
    seconds: float
    log_tail: str = ""


@dataclass
class _Child:
    """Hold a process that trains a run, or measures a trained one."""

    run: Run
    log: Path
    process: subprocess.Popen[bytes]
    measures: bool
    start: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)
    said: str = ""  # of its log, the last line that was shown


@dataclass
class _Caught:
    """Hold the signals that have arrived, and how many of them the runs have been told of."""

    signals: list[int] = field(default_factory=list)
    told: int = 0


def run_all(runs: tuple[Run, ...], folder: Path, jobs: int, measure: Measure | None = None) -> list[Outcome]:
    """Train what is not finished, `jobs` at a time, and log progress; a failure stops no other run.

    With `measure` each finished run is measured by it, too, if it was not yet; those processes count among the jobs.

    SIGTERM, SIGINT and SIGHUP reach the runs, which save and stop; then Stopped is raised with the status 128 + signal
    (143, 130, 129). A second Ctrl-C makes them stop without saving. The folder must be held (`hold.held`).
    """
    over = [run for run in runs if finished(run_folder(run, folder)) and is_measured(run, folder, measure)]
    outcomes = {run.name: Outcome(run, "skipped", 0.0) for run in over}
    for name in outcomes:
        say(f"{name} skipped: it has finished{'' if measure is None else ' and is measured'}")
    waiting = [run for run in runs if run.name not in outcomes]
    children: list[_Child] = []
    start, planned = time.monotonic(), len(waiting)
    with _catching() as caught:
        try:
            while children or (waiting and not caught.signals):
                while waiting and len(children) < jobs and not caught.signals:
                    children.append(_begin(waiting.pop(0), folder, jobs, measure))
                _tell(caught, children)
                for child in [child for child in children if child.process.poll() is not None]:
                    children.remove(child)
                    done = _end(child, folder, bool(caught.signals), measure)
                    if done.status == "done" and not child.measures and measure is not None:
                        waiting.insert(0, child.run)
                        continue
                    outcomes[done.run.name] = done
                    ended = planned - len(waiting) - len(children)
                    left = (time.monotonic() - start) / ended * (planned - ended)
                    say(
                        f"[{len(outcomes)}/{len(runs)}] {done.run.name} {done.status} after {done.seconds:.0f} s"
                        + (f", about {left / 60:.0f} min left" if left and not caught.signals else "")
                    )
                _say_progress(children)
                time.sleep(POLL if children else 0)
        finally:
            for child in children:  # only after an error of ours, such as a closed terminal
                child.process.terminate()
            for child in children:
                child.process.wait()
                forget(folder, child.run.name)
    if caught.signals:
        raise _stopped(caught.signals[0], list(outcomes.values()), waiting)
    return [outcomes[run.name] for run in runs]


def _begin(run: Run, folder: Path, jobs: int, measure: Measure | None) -> _Child:
    log = folder / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    path = run_folder(run, folder)
    if measure is not None and finished(path):
        what, argv = "measures", command(measure, path, measured_file(run, folder))
    else:
        what, argv = "trains", _train(run, folder)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with log.open("ab") as file:  # never emptied: it may tell of an earlier start
        file.write(f"{_HEAD} {time.strftime('%Y-%m-%d %H:%M:%S')} rlvr ablate {what} {run.name}\n".encode())
        file.flush()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": threads, **os.environ} | ({"HF_TOKEN": run.hub_token} if run.hub_token else {}),
            start_new_session=True,  # a Ctrl-C of the terminal reaches this process alone, which passes it on once
        )
    note(folder, run.name, process.pid)
    say(f"{run.name} {'started' if what == 'trains' else 'is being measured'}; it writes {log}")
    return _Child(run, log, process, what == "measures")


def _train(run: Run, folder: Path) -> list[str]:
    steps = int(run.settings.get("max_steps", 0) or 0)
    saving = {"save_steps": max(1, steps // 4), "save_total_limit": 1}
    argv = [
        sys.executable, "-m", "rlvr", "train", "--config", str(folder / "settings" / f"{run.name}.yaml"),
        "--output_dir", str(run_folder(run, folder)), "--resume", "auto", "--no_report",
        "--save_strategy", "steps",
    ]  # fmt: skip
    for name, value in saving.items():
        argv += [f"--{name}", str(run.settings.get(name, value))]
    return argv


def _end(child: _Child, folder: Path, stopping: bool, measure: Measure | None) -> Outcome:
    forget(folder, child.run.name)
    seconds = time.monotonic() - child.start
    if child.process.returncode == 0:
        if is_measured(child.run, folder, measure):  # else its checkpoints may be measured, too
            remove_checkpoints(run_folder(child.run, folder))
        return Outcome(child.run, "done", seconds)
    lines = child.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Outcome(child.run, "stopped" if stopping else "failed", seconds, "\n".join(lines[-5:]))


def _tell(caught: _Caught, children: list[_Child]) -> None:
    """Pass on each signal once: the first as SIGTERM, on which a run saves and stops, later ones as they are."""
    for number in caught.signals[caught.told :]:
        if not caught.told:
            names = ", ".join(child.run.name for child in children) or "nothing"
            say(f"{signal.Signals(number).name}: no further run is started; asked to save and stop: {names}")
        for child in children:
            child.process.send_signal(number if caught.told and number == signal.SIGINT else signal.SIGTERM)
        caught.told += 1


def _say_progress(children: list[_Child]) -> None:
    """Say the last line of each run's log, every `PROGRESS` seconds where it has changed."""
    for child in children:
        if time.monotonic() - child.looked >= PROGRESS:
            child.looked, last = time.monotonic(), last_line(child.log)
            if last != child.said and not last.startswith(_HEAD):
                say(f"{child.run.name}: {last}")
            child.said = last


def last_line(log: Path) -> str:
    """Return the last line of a log, of which at most 4 kB are read; "" while there is none."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = re.split(r"[\r\n]", file.read().decode("utf-8", errors="replace"))  # \r: of progress bars
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _stopped(number: int, outcomes: list[Outcome], waiting: list[Run]) -> Stopped:
    counts = {status: sum(o.status == status for o in outcomes) for status in ("stopped", "skipped", "done", "failed")}
    error = Stopped(
        f"{signal.Signals(number).name}: stopped where they had saved: {counts['stopped']}, finished: "
        f"{counts['done'] + counts['skipped']}, failed: {counts['failed']}, not started: {len(waiting)}. "
        "Give the same command again to go on."
    )
    error.status = 128 + number
    return error


@contextmanager
def _catching() -> Iterator[_Caught]:
    """Collect the signals that end a program, except those that the caller has it ignore (nohup, &)."""
    caught = _Caught()
    before: dict[int, Any] = {}

    def collect(number: int, frame: FrameType | None) -> None:
        caught.signals.append(number)

    if threading.current_thread() is threading.main_thread():
        before = {n: signal.signal(n, collect) for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
