"""Checkpoints are whole or not there; a resumed run is the run that was never interrupted."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr.runs import checkpoints
from rlvr.runs.directory import RunDir, read_metrics
from tests.run_outcome import assert_same

COMMAND = [
    sys.executable, "-m", "rlvr", "train", "--config", "rlcr", "tiny", "--advantage", "dr_grpo, drop_near_impossible",
    "--sft_steps", "0", "--eval_size", "2", "--eval_n", "2", "--max_completion_length", "8", "--train_size", "16",
    "--max_steps", "8", "--steps_per_generation", "2", "--logging_steps", "2", "--save_strategy", "steps",
    "--save_steps", "1", "--save_total_limit", "2", "--no_report", "--learning_rate", "1e-3",
    "--rewards", '{"repetition": 0.3, "random_control": 0.37, "format": 0.11}', "--allow_hackable", "true",
]  # fmt: skip


def stage(folder: Path, files: dict[str, str]) -> Path:
    staged = folder / checkpoints.STAGING
    staged.mkdir()
    for name, text in files.items():
        (staged / name).write_text(text)
    return staged


def test_publish_lists_and_renames(tmp_path):
    checkpoints.publish(stage(tmp_path, {"a": "12345"}), tmp_path / "checkpoint-3")
    digest = hashlib.sha256(b"12345").hexdigest()
    assert json.loads((tmp_path / "checkpoint-3" / "files.json").read_text()) == {"a": {"bytes": 5, "sha256": digest}}
    assert checkpoints.newest(tmp_path) == tmp_path / "checkpoint-3"
    assert not (tmp_path / checkpoints.STAGING).exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "a").write_text("123"), "a has 3 bytes instead of 5"),
        (lambda p: (p / "a").unlink(), "a is missing"),
        (lambda p: (p / "a").write_text("12344"), "a does not hold what was written"),
        (lambda p: (p / "files.json").unlink(), "no readable files.json"),
        (lambda p: (p / "files.json").write_text("{"), "no readable files.json"),
    ],
)
def test_half_a_checkpoint_is_skipped_with_a_message(tmp_path, capsys, damage, message):
    for step in (9, 10):  # 10 is newer, though "10" < "9" as text
        checkpoints.publish(stage(tmp_path, {"a": "12345"}), tmp_path / f"checkpoint-{step}")
    assert checkpoints.newest(tmp_path).name == "checkpoint-10"
    damage(tmp_path / "checkpoint-10")
    assert checkpoints.newest(tmp_path).name == "checkpoint-9"
    assert message in capsys.readouterr().err


def test_a_checkpoint_of_an_older_list_is_still_taken(tmp_path):
    checkpoints.publish(stage(tmp_path, {"a": "12345"}), tmp_path / "checkpoint-3")
    (tmp_path / "checkpoint-3" / "files.json").write_text('{"a": 5}')
    assert checkpoints.newest(tmp_path) == tmp_path / "checkpoint-3"


def test_later_checkpoints_go_when_the_next_whole_one_has_appeared(tmp_path):
    """A broken one that stayed would pass for the newest when old ones are thinned out."""
    for step in (3, 6):
        checkpoints.publish(stage(tmp_path, {"a": "12345"}), tmp_path / f"checkpoint-{step}")
    checkpoints.set_aside_after(tmp_path, 3)
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]
    assert (tmp_path / ".saving-replaced-checkpoint-6" / "a").is_file()  # not lost before there is another
    checkpoints.remove_aside(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-3"]


def test_lost_lines_of_the_metrics_come_back_from_the_checkpoint(tmp_path):
    run = RunDir(tmp_path)
    history = [{"step": step, "loss": 0.5 * step} for step in (1, 2, 3, 4)]
    rest = [{"step": 1, "loss": 0.5}, {"step": 3, "loss": 1.5}, {"step": 4, "loss": 2.0}]
    run.metrics.write_text('{"step": 1, "loss": 0.5}\n{"step"\n{"step": 3, "loss": 1.5}\n{"step": 4, "loss": 2.0}\n')
    notes = run.rewind(3, history)
    assert read_metrics(run.metrics) == history[:3] != rest[:2]
    assert "line 2 is not readable" in notes[0] and "had lost step 2: taken from the checkpoint" in notes[1]
    run.metrics.unlink()
    assert "lost step 1, 2, 3" in run.rewind(3, history)[0]
    assert read_metrics(run.metrics) == history[:3]
    assert run.rewind(3, history) == []  # nothing amiss, nothing said


def test_rewind_leaves_no_later_line_and_no_torn_one(tmp_path):
    run = RunDir(tmp_path)
    run.rollouts.mkdir()
    for step in (1, 2, 3):
        (run.rollouts / f"step-{step:05d}.parquet").touch()
    run.metrics.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    run.rewind(2)
    assert run.metrics.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert [p.name for p in sorted(run.rollouts.iterdir())] == ["step-00001.parquet", "step-00002.parquet"]


def wait_for(condition, process, seconds=120) -> None:
    for _ in range(seconds * 20):
        if condition() or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get there")


def steps_done(run: Path) -> int:
    return max((checkpoints.step_of(p) for p in (run / "checkpoints").glob("checkpoint-*")), default=0)


@pytest.mark.slow  # test_kill.py is the fast one: it forks one process, where this starts one of its own each time
@pytest.mark.parametrize("kills", [1, 3])
def test_kill_9_and_resume_is_the_uninterrupted_run(tmp_path, kills):
    """Killed at moments that nobody chose (after a checkpoint has begun to appear), resumed by the same command."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [*COMMAND, "--output_dir", str(tmp_path / "whole")]
    reference = subprocess.Popen(whole, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    command = [*COMMAND, "--output_dir", str(tmp_path / "cut"), "--resume", "auto"]
    for kill in range(kills):
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(lambda kill=kill: steps_done(tmp_path / "cut") > 2 * kill, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "going on from checkpoint-" in done.stderr
    assert reference.wait() == 0
    assert_same(tmp_path / "cut", tmp_path / "whole")
    assert any(row["loss"] and row["grad_norm"] for row in read_metrics(tmp_path / "cut" / "metrics.jsonl"))
    assert len(list((tmp_path / "cut" / "checkpoints").glob("checkpoint-*"))) == 2
    assert not list((tmp_path / "cut" / "checkpoints").glob(".*"))


def test_sigterm_finishes_the_step_saves_and_says_how_to_go_on(tmp_path):
    command = [*COMMAND, "--save_strategy", "no", "--output_dir", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait_for(lambda: (tmp_path / "run" / "metrics.jsonl").is_file(), process)
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 75, err[-2000:]
    assert "rlvr train --resume" in err
    saved = checkpoints.newest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert not (tmp_path / "run" / "model").exists()  # it does not pretend to be finished
