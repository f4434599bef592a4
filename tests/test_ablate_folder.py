"""rlvr ablate touches nothing that is not its own, checks before it trains, and passes signals on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from rlvr.commands.main import main
from rlvr.core.errors import RunError
from rlvr.planning.ablation.folder import remove_checkpoints
from rlvr.planning.ablation.hold import forget, held, note, orphans
from rlvr.planning.ablation.pool import last_line
from tests.commands import write


def ablate(tmp_path, **keys):
    """Return the command over an ablation of these keys, which writes to tmp_path/out."""
    config = write(tmp_path / "x.yaml", **{"seeds": [0], "budget": {"updates": 1}, **keys})
    return ["ablate", "--config", str(config), "--out", str(tmp_path / "out")]


def everything(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


# ---------------------------------------------------------------- nothing that is not ours


def test_a_folder_of_the_users_in_the_place_of_a_run_stays(tmp_path, capsys):
    notes = tmp_path / "out" / "runs" / "a-s0" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("x")
    assert main(ablate(tmp_path)) == 2
    assert "holds 'notes.txt' but no config.yaml" in capsys.readouterr().err
    assert everything(tmp_path / "out") == [notes]


@pytest.mark.parametrize("name", ["../../victim", "..", "a/../../../victim"])
def test_no_arm_reaches_outside_its_folder(tmp_path, capsys, name):
    victim = tmp_path / "victim-s0"
    victim.mkdir()
    (victim / "thesis.txt").write_text("x")
    assert main(ablate(tmp_path, arms={name: {}})) == 2
    assert "letters, digits" in capsys.readouterr().err
    assert (victim / "thesis.txt").read_text() == "x"
    assert not (tmp_path / "out").exists()


def test_a_report_that_is_no_ablations_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.md").write_text("mine")
    assert main(ablate(tmp_path)) == 2
    assert "holds a report.md but no ablation" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.md").read_text() == "mine"


def test_only_checkpoints_go_when_a_run_has_finished(tmp_path):
    for name in ("checkpoint-5", "checkpoint-best", "mine"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints" / "checkpoint-7").symlink_to(tmp_path / "elsewhere")
    remove_checkpoints(tmp_path)
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {"checkpoint-best", "mine", "checkpoint-7"}
    assert (tmp_path / "elsewhere").is_dir()


# ---------------------------------------------------------------- checked before the first run


def test_a_mistake_in_any_arm_is_found_before_the_first_run(tmp_path, capsys):
    arms = {
        "good": {"recipes": ["grpo"]},
        "typo": {"recipes": ["grpo"], "set": {"rewards": {"log_scor": 0.5}}},
        "lost": {"recipes": ["grpo"], "set": {"model": "./nowhere"}},
    }
    assert main(ablate(tmp_path, arms=arms)) == 2
    said = capsys.readouterr().err
    assert re.search(r"Arm 'typo': .*'log_scor'. Did you mean 'log_score'", said)
    assert "Arm 'lost'" in said
    assert "nowhere" in said
    assert "Arm 'good'" not in said
    assert not (tmp_path / "out" / "runs").exists()
    assert not (tmp_path / "out" / "logs").exists()


def test_arms_that_could_not_be_compared_are_refused(tmp_path, capsys):
    arms = {"a": {"recipes": ["grpo"]}, "b": {"recipes": ["grpo"], "set": {"eval_size": 5}}}
    assert main(ablate(tmp_path, arms=arms)) == 2
    said = capsys.readouterr().err
    assert "Arm 'b' would be measured on other problems than 'a'" in said
    assert "eval_size is 5, there 6" in said


def test_a_dry_run_names_what_differs_and_how_long_it_takes(tmp_path, capsys):
    arms = {"plain": {"recipes": ["grpo"]}, "other": {"recipes": ["grpo"], "set": {"learning_rate": 1e-6, "beta": 0.1}}}
    assert (
        main([*ablate(tmp_path, arms=arms, baseline="plain", seeds=[0, 1], budget={"updates": 30}), "--dry_run"]) == 0
    )
    said = capsys.readouterr().out
    assert re.search(r"^plain: \d+ s a run: 30 steps of \d+\.\d s, evaluations \d+ s \(baseline\)$", said, re.MULTILINE)
    other = said[said.index("other:") : said.index("\nplain:")]
    assert re.search(r"learning_rate: 1e-06 \(plain: \S+\)", other)
    assert "beta: 0.1 (plain: its default)" in other
    assert "seed:" not in other
    assert re.search(r"4 of 4 runs to train, about \d+ (s|min) one after the other", said)
    assert said.split()[-4:] == ["other-s0", "plain-s0", "other-s1", "plain-s1"]
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- one at a time, and signals


def test_a_folder_is_held_by_one_command(tmp_path, capsys):
    with held(tmp_path / "out"):
        assert main(ablate(tmp_path)) == 2
    assert "Another rlvr ablate is writing" in capsys.readouterr().err


def test_a_run_that_was_left_behind_keeps_its_log(tmp_path, capsys):
    """The parent was killed with kill -9 and its child trains on: a second command must not write beside it."""
    log = tmp_path / "out" / "logs" / "a-s0.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 3/20\n")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        note(tmp_path / "out", "a-s0", child.pid)
        assert orphans(tmp_path / "out") == {"a-s0": child.pid}
        assert main(ablate(tmp_path)) == 2
        assert f"kill -TERM {child.pid}" in capsys.readouterr().err
        assert log.read_text() == "step 3/20\n"
        child.kill()
    assert orphans(tmp_path / "out") == {}  # it has ended
    with held(tmp_path / "out"):
        pass
    note(tmp_path / "out", "a-s0", os.getpid())
    file = tmp_path / "out" / "logs" / "a-s0.pid"
    started = psutil.Process().create_time()
    file.write_text(file.read_text().replace(str(started), str(started - 60)))  # another process has that number now
    assert orphans(tmp_path / "out") == {}
    file.write_text("torn {")
    assert orphans(tmp_path / "out") == {}
    forget(tmp_path / "out", "a-s0")
    assert not file.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"Cannot write to .*file"), held(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_reaches_the_runs_which_save_and_stop(tmp_path, number, status):
    """The first of two runs is stopped in its training, the second is not started, and no process is left."""
    argv = ablate(tmp_path, seeds=[0, 1], budget={"updates": 2000})
    process = subprocess.Popen([sys.executable, "-m", "rlvr", *argv], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    log = tmp_path / "out" / "logs" / "a-s0.log"
    killer = threading.Timer(120, process.kill)  # the test fails instead of hanging
    killer.start()
    while process.poll() is None and not (log.is_file() and "step " in log.read_text()):
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    said = process.stderr.read()
    killer.cancel()
    assert process.wait() == status, said
    name = signal.Signals(number).name
    assert f"{name}: no further run is started; asked to save and stop: a-s0" in said
    assert (
        f"{name}: stopped where they had saved: 1, finished: 0, failed: 0, not started: 1. Give the same command"
        in said
    )
    assert said.index("a-s0 started; it writes") < said.index("[1/2] a-s0 stopped")
    assert re.search(r"saved at step \d+", log.read_text())
    assert list((tmp_path / "out" / "runs" / "a-s0" / "checkpoints").glob("checkpoint-*"))
    assert not (tmp_path / "out" / "runs" / "a-s1").exists()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert orphans(tmp_path / "out") == {}


def test_the_last_line_of_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"")
    assert last_line(log) == ""
    log.write_bytes(b"x" * 9000 + "\nstep 3/20  rightéd 5%\n\n".encode())
    assert last_line(log) == "step 3/20  rightéd 5%"
    log.write_bytes(b"shards: 0%\rshards: 100%\n")
    assert last_line(log) == "shards: 100%"
