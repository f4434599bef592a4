"""Run directories: described, never overwritten, readable after a crash."""

import json
import os
import resource

import pytest

from rlvr.core.errors import RunError
from rlvr.runs import directory as runs


def test_create_describes_the_run(tmp_path):
    run = runs.create(tmp_path / "a" / "run", "model: tiny\n", ["rlvr", "train", "--data", "x(a=[1, 2])"])
    assert run.config.read_text() == "model: tiny\n"
    assert (run.path / "command.txt").read_text() == "rlvr train --data 'x(a=[1, 2])'\n"
    env = json.loads((run.path / "env.json").read_text())
    assert env["packages"]["trl"]
    assert env["cpus"] == os.cpu_count()
    assert (run.path / "code.diff").is_file()


def test_an_existing_run_is_never_overwritten(tmp_path):
    runs.create(tmp_path / "run", "", [])
    with pytest.raises(
        RunError, match="already holds a run. Choose another --output_dir, or go on with: rlvr train --resume"
    ):
        runs.create(tmp_path / "run", "", [])


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="Cannot create the run directory .* Choose another --output_dir"):
        runs.create(tmp_path / "file" / "run", "", [])


@pytest.mark.parametrize("room", [0, 20, 2000])
def test_a_disk_that_is_full_at_the_start_needs_no_cleaning(room, tmp_path):
    """Nothing is half there, and the same start does it all: settings of 0 bytes were once read as the defaults."""
    settings = "a: " + "x" * 4000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(RunError, match="Cannot create the run directory"):
            runs.create(tmp_path / "run", settings, ["rlvr", "train", "x" * 100])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert not list((tmp_path / "run").glob(".*.tmp"))
    (tmp_path / "run" / ".config.yaml.123.tmp").touch()  # as a kill would leave it
    assert runs.create(tmp_path / "run", settings, ["rlvr"]).config.read_text() == settings
    assert not list((tmp_path / "run").glob(".*.tmp"))


@pytest.mark.parametrize("name", ["notes.txt", "metrics.jsonl", "rollouts/step-00001.parquet"])
def test_a_folder_of_somebody_elses_is_left_alone(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match="but no config.yaml: it is neither empty nor a run"):
        runs.create(tmp_path, "", [])
    assert [p.name for p in tmp_path.iterdir()] == [name.split("/")[0]]


def test_reopen_needs_a_run(tmp_path):
    with pytest.raises(RunError, match="is not a run directory: it has no config.yaml"):
        runs.reopen(tmp_path)


def test_a_torn_last_line_is_left_out_and_a_torn_middle_is_an_error(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert runs.read_metrics(path) == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [r["step"] for r in runs.read_metrics(path)] == [1, 2]
    path.write_text('{"step": 1}\n{"ste\n{"step": 3}\n')
    with pytest.raises(RunError, match="line 2 is not JSON"):
        runs.read_metrics(path)
