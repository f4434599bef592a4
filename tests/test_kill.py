"""Killed at any moment and started by the same command, a run is the run that was never interrupted, to the bit."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from rlvr.runs import checkpoints
from rlvr.runs.directory import read_metrics
from tests.forks import Forks
from tests.run_outcome import assert_same

# It learns: five dense terms in no sorted order, losses that are not 0 (two updates a batch), checkpoints between logged
# steps and at the last one, which is no epoch's end.
COMMAND = [
    "train", "--config", "grpo", "tiny", "--advantage", "dr_grpo, drop_near_impossible",
    "--rewards", '{"repetition": 0.3, "random_control": 0.37, "format": 0.11, "correct": 0.7, "brier": 0.13}',
    "--allow_hackable", "true", "--sft_steps", "12", "--sft_batch_size", "8", "--train_size", "16", "--eval_size", "2",
    "--eval_n", "2", "--max_completion_length", "12", "--per_device_train_batch_size", "8", "--num_generations", "4",
    "--steps_per_generation", "2", "--learning_rate", "1e-3", "--max_steps", "6", "--save_strategy", "steps",
    "--save_steps", "3", "--logging_steps", "2", "--resume", "auto",
]  # fmt: skip
# What the run writes, from its first file to its last: it dies just before each of these.
PHASES = {
    "description": ["rename .*config.yaml", 0],
    "warm-up": ["rename .*/warmup/", 0],
    "evaluation before": ["rename .*eval/before", 0],
    "first batch": ["rename .*step-00001.parquet", 0],
    "half a checkpoint": ["open .*checkpoint-3/files.json", 0],
    "whole checkpoint, not in place": ["rename .*saving/checkpoint-3", 0],
    "after a checkpoint": ["rename .*step-00005.parquet", 0],
    "last line of the metrics": ["open .*metrics.jsonl$", 1],  # the line before it is of the same process
    "last checkpoint": ["rename .*saving/checkpoint-6", 0],
    "after the last checkpoint": ["rename .*difficulty.parquet", 0],
    "half a model": ["open .*run/.saving/tokenizer_config.json", 0],
    "whole model, not in place": ["rename .*/model$", 0],
    "evaluation after": ["rename .*eval/after", 0],
    "report": ["rename .*report.html", 0],
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    found = Forks(tmp_path_factory.mktemp("forks") / "log")
    yield found
    found.server.stdin.close()
    found.server.wait()


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """The run that nobody interrupts, its cache, and how many events it had."""
    root = tmp_path_factory.mktemp("whole")
    status, log = forks.run([*COMMAND, "--output_dir", str(root / "run")], root / "cache")
    assert status == 0, log
    return root / "run", root / "cache", forks.events


def contents(run: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


def test_the_run_that_is_killed_here_learns(whole):
    run, _, _ = whole
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all(abs(row["loss"]) > 1e-4 and row["grad_norm"] > 1e-3 and row["reward_std"] > 0.01 for row in rows)
    before, after = (load_file(run / folder / "model.safetensors") for folder in ("checkpoints/checkpoint-3", "model"))
    assert any(not torch.equal(weight, after[name]) for name, weight in before.items())


def test_a_run_that_is_killed_in_every_phase_is_the_uninterrupted_run(whole, forks, tmp_path):
    """One run, one kill after the other, always the same command, once more at the end."""
    command = [*COMMAND, "--output_dir", str(tmp_path / "run")]
    told = {}
    for phase, kill in PHASES.items():
        status, told[phase] = forks.run(command, tmp_path / "cache", kill)
        assert status == -9, (phase, told[phase])
    status, told["end"] = forks.run(command, tmp_path / "cache")
    assert status == 0, told["end"]
    assert_same(tmp_path / "run", whole[0])
    assert "going on from checkpoint-3" in told["last line of the metrics"]
    assert "going on from checkpoint-6" in told["half a model"]
    assert "going on from the trained model" in told["report"]
    assert "nothing is changed" in told["end"]
    assert not list((tmp_path / "run").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_a_run_that_is_killed_at_random_is_the_uninterrupted_run(whole, forks, tmp_path, seed):
    """At one or two of all file events, every one as likely as the other."""
    run, cache, events = whole
    draw = random.Random(seed)
    command = [*COMMAND, "--output_dir", str(tmp_path / "run")]
    for _ in range(draw.randint(1, 2)):
        forks.run(command, cache, draw.randrange(events))
    status, log = forks.run(command, cache)
    assert status == 0, log
    assert_same(tmp_path / "run", run)


def test_bfloat16_autocast_resumes_to_the_bit(whole, forks, tmp_path):
    _, cache, _ = whole
    command = [
        *COMMAND,
        "--bf16",
        "true",
        "--use_cpu",
        "true",
        "--sft_steps",
        "0",
        "--eval_size",
        "0",
        "--no_report",
        "--max_steps",
        "4",
    ]
    for name, kill in (("whole", None), ("run", ["rename .*saving/checkpoint-4", 0]), ("run", None)):
        status, log = forks.run([*command, "--output_dir", str(tmp_path / name)], cache, kill)
        assert status == (-9 if kill else 0), log
    assert_same(tmp_path / "run", tmp_path / "whole")


def assert_finished(forks, command, run: Path, cache: Path) -> None:
    """Resumed by the same command and by name: exit status 0, a message, and no file is touched."""
    before = contents(run)
    for again in ([*command, "--output_dir", str(run)], ["train", "--resume", str(run), "--no_report"]):
        status, log = forks.run(again, cache)
        assert status == 0 and "is finished, trained and measured: nothing is changed" in log
        assert contents(run) == before


def test_a_finished_run_is_finished(whole, forks):
    run, cache, _ = whole
    assert_finished(forks, COMMAND, run, cache)


@pytest.mark.parametrize("lora", [[], ["--lora_rank", "2"]])
def test_a_run_without_checkpoints_that_dies_in_its_last_evaluation(whole, forks, tmp_path, lora):
    """It is measured from the model that it saved, and is not trained again."""
    _, cache, _ = whole
    command = [*COMMAND, "--save_strategy", "no", "--no_report", *lora]
    status, log = forks.run([*command, "--output_dir", str(tmp_path / "whole")], cache)
    assert status == 0, log
    here = [*command, "--output_dir", str(tmp_path / "run")]
    assert forks.run(here, cache, PHASES["evaluation after"])[0] == -9
    saved = contents(tmp_path / "run" / "model")
    status, log = forks.run(here, cache)
    assert status == 0 and "only measuring is left" in log and "step 2/6" not in log
    assert contents(tmp_path / "run" / "model") == saved
    assert_same(tmp_path / "run", tmp_path / "whole")
    assert_finished(forks, command, tmp_path / "run", cache)


def test_a_run_goes_on_longer_where_its_learning_rate_allows(whole, forks, tmp_path):
    """Six steps, finished, then asked for nine: the run of nine steps; the second command is noted."""
    run, cache, _ = whole
    nine = [*COMMAND, "--no_report", "--max_steps", "9"]
    assert forks.run([*nine, "--output_dir", str(tmp_path / "nine")], cache)[0] == 0
    shutil.copytree(run, tmp_path / "run")
    status, log = forks.run([*nine, "--output_dir", str(tmp_path / "run")], cache)
    assert status == 0, log
    assert "max_steps: 9 from here on; the run had 6" in log
    assert_same(tmp_path / "run", tmp_path / "nine")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["max_steps"] == 9
    assert "--max_steps 9" in (tmp_path / "run" / "command.txt").read_text().splitlines()[-1]


def unfinish(run: Path, target: Path) -> Path:
    """Copy a run and take back its end: as if it had been killed after its last checkpoint."""
    shutil.copytree(run, target)
    shutil.rmtree(target / "model")
    shutil.rmtree(target / "eval" / "after")
    return target


def test_broken_files_of_a_run_are_made_again(whole, forks, tmp_path):
    """A flipped bit in the last checkpoint, a cut metrics file, a cut evaluation, settings in an older order."""
    whole_run, cache, _ = whole
    run = unfinish(whole_run, tmp_path / "run")
    weights = run / "checkpoints" / "checkpoint-6" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + bytes([weights.read_bytes()[-1] ^ 1]))
    (run / "metrics.jsonl").write_text("")
    before = next((run / "eval" / "before").glob("*.json"))
    before.write_text(before.read_text()[:100])
    (run / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load((run / "config.yaml").read_text()), sort_keys=True))
    status, log = forks.run(["train", "--resume", str(run), "--no_report"], cache)
    assert status == 0, log
    assert "checkpoint-6: model.safetensors does not hold what was written" in log
    assert "going on from checkpoint-3" in log
    assert "metrics.jsonl had lost step 2: taken from the checkpoint" in log
    assert "evaluating before training again, because" in log
    assert_same(run, whole_run)


def test_every_bit_of_a_checkpoint_is_looked_at(whole, tmp_path, capsys):
    """A flipped bit in any file of the last one: that file is named, and the one before is taken."""
    folder = whole[0] / "checkpoints"
    names = [p.name for p in (folder / "checkpoint-6").iterdir() if p.name != "files.json"]
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth"} < set(names)
    shutil.copytree(folder, tmp_path / "copy")
    for name in names:
        path = tmp_path / "copy" / "checkpoint-6" / name
        right = path.read_bytes()
        path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
        assert checkpoints.newest(tmp_path / "copy").name == "checkpoint-3"
        assert f"checkpoint-6: {name} does not hold what was written" in capsys.readouterr().err
        path.write_bytes(right)
    assert checkpoints.newest(tmp_path / "copy").name == "checkpoint-6"


def test_seconds_add_up_over_the_processes_of_a_run(whole, forks, tmp_path):
    run, cache, _ = whole
    cut = unfinish(run, tmp_path / "run")
    shutil.rmtree(cut / "checkpoints" / "checkpoint-6")
    rows = read_metrics(cut / "metrics.jsonl")
    (cut / "metrics.jsonl").write_text("".join(json.dumps(row | {"seconds": 1000.0}) + "\n" for row in rows))
    assert forks.run(["train", "--resume", str(cut), "--no_report"], cache)[0] == 0
    seconds = [row["seconds"] for row in read_metrics(cut / "metrics.jsonl")]
    assert seconds[0] == 1000.0 and 1000.0 < seconds[1] < seconds[2] < 1100.0
