"""Faults of the world around a run: a term that hangs, a hub that does not answer, a folder that two processes want."""

import contextlib
import socket
import subprocess
import sys
import threading

import pytest

from rlvr.commands.main import main
from rlvr.runs.directory import read_metrics
from tests.commands import TINY
from tests.conftest import run_apart

HANGS = '''
"""Right away for made-up completions, never for the run's own after the first update."""


def hangs(c):
    calls.append(c)
    while len(calls) > {after} and c.problem.id.startswith("arithmetic"):
        pass
    return 0.5


calls = []
'''


@pytest.mark.parametrize("where", ["main thread", "another thread"])
def test_a_term_that_hangs_ends_the_run_with_its_name_and_loses_nothing(where, tmp_path, capsys):
    """The audit's completions pass; the hang comes in the second update, in a process that is killed."""
    term = tmp_path / "hangs.py"
    term.write_text(HANGS.format(after=16))
    folder = tmp_path / "run"
    flags = ["--rewards", f'{{"{term}": 1.0}}', "--allow_hackable", "true", "--reward_timeout", "1"]
    argv = ["train", "--config", "grpo", "tiny", *TINY, *flags, "--output_dir", str(folder)]
    status = []
    if where == "main thread":
        status.append(main(argv))
    else:  # an alarm signal would fail here
        thread = threading.Thread(target=lambda: status.append(main(argv)))
        thread.start()
        thread.join(timeout=120)
    assert status == [2]
    message = capsys.readouterr().err
    assert (
        "hangs.py' (problem 'arithmetic" in message and "took longer than 1 s. Mend it, or raise --reward_" in message
    )
    assert [r["step"] for r in read_metrics(folder / "metrics.jsonl")] == [1]
    assert len(list((folder / "rollouts").glob("*.parquet"))) == 1


def test_a_term_that_hangs_on_made_up_completions_is_named_before_a_model_is_loaded(tmp_path, cli):
    term = tmp_path / "stuck.py"
    term.write_text('"""Never returns."""\n\n\ndef stuck(c):\n    while True:\n        pass\n')
    folder = tmp_path / "run"
    flags = ["--rewards", f'{{"{term}": 1.0}}', "--reward_timeout", "1", "--output_dir", str(folder)]
    done = cli("train --config grpo tiny", *TINY, *flags)
    assert done.code == 2
    assert "longer than 1 s" in (message := done.err) and "stuck.py" in message
    assert not folder.exists()


@pytest.mark.parametrize("seen", [True, False])
def test_a_term_that_ends_its_process_is_named(seen, tmp_path, cli):
    """On a made-up completion, before a model is loaded, or on the run's own."""
    term = tmp_path / "dies.py"
    dies = 'c.problem.id.startswith("arithmetic")' if seen else "True"
    term.write_text(f'"""Dies."""\nimport os\n\n\ndef dies(c):\n    return os._exit(3) if {dies} else 0.5\n')
    flags = ["--rewards", f'{{"{term}": 1.0}}', "--allow_hackable", "true", "--output_dir", str(tmp_path / "run")]
    done = cli("train --config grpo tiny", *TINY, *flags)
    assert done.code == 2
    assert "ended its process (exit status 3)" in (message := done.err) and "dies.py" in message
    assert (tmp_path / "run").exists() == seen


@contextlib.contextmanager
def silent_server():
    """Give the address of a server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_that_does_not_answer(tmp_path):
    """The connection is made and nothing comes: a message within seconds, though the hub client would wait for ever."""
    with silent_server() as address:
        env = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": 0, "HF_HOME": tmp_path / "hf", "NO_PROXY": "127.0.0.1"}
        flags = [*TINY, "--model", "some/model", "--output_dir", tmp_path / "run"]
        done = run_apart("train --config grpo tiny", *flags, timeout=120, **env)
    assert done.code == 2
    assert (
        f"Cannot load the model 'some/model': {address} does not answer and the model is not in the cache" in done.err
    )
    assert "Traceback" not in done.err


def test_two_processes_that_start_on_one_folder(tmp_path):
    """One trains, the other stops with a message, whoever comes first; the run is whole."""
    folder = tmp_path / "run"
    argv = [sys.executable, "-m", "rlvr", "train", "--config", "grpo", "tiny", *TINY, "--output_dir", str(folder)]
    both = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    loser = told[[process.returncode for process in both].index(2)]
    assert f"Another process is writing {folder}" in loser or f"{folder} already holds a run" in loser
    assert [r["step"] for r in read_metrics(folder / "metrics.jsonl")] == [1, 2, 3]


def test_a_run_that_is_being_written_cannot_be_resumed(tmp_path, cli):
    from rlvr.runs import directory as runs

    folder = tmp_path / "run"
    done = cli("train --config grpo tiny", *TINY, "--output_dir", folder)
    assert done.code == 0
    with runs.locked(folder):
        done = cli("train --resume", folder)
        assert done.code == 2
    assert f"Another process is writing {folder}" in done.err


def test_a_run_folder_that_vanishes(tmp_path, cli):
    """Removed by somebody in the second update: the run stops and says what is gone; nothing is made up in its place."""
    folder, term = tmp_path / "run", tmp_path / "removes.py"
    term.write_text(f'''"""Removes the run folder at its second batch."""
import shutil

calls = []


def removes(c):
    calls.append(c)
    if sum(call.problem.id.startswith("arithmetic") for call in calls) == 17:
        shutil.rmtree({str(folder)!r})
    return 0.5
''')
    flags = ["--rewards", f'{{"{term}": 1.0}}', "--allow_hackable", "true", "--output_dir", str(folder)]
    done = cli("train --config grpo tiny", *TINY, *flags)
    assert done.code == 2
    err = done.err
    assert f"{folder / 'metrics.jsonl'} is gone: the run folder was removed or moved at step 2" in err
    assert "Traceback" not in err
    assert not (folder / "model").exists()
