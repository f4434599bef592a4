"""What a command may ask of a run that exists: what differs is named, refused or taken and noted."""

import copy

import pytest
import torch
import yaml

from rlvr.config.settings import TrainConfig, parse_config, to_yaml
from rlvr.core.errors import RunError
from rlvr.runs import directory as runs
from rlvr.runs.directory import RunDir
from rlvr.runs.open import open_run
from rlvr.runs.resume import LENGTH, MAY_CHANGE, asked_config, differences

FIRST = ["--max_steps", "4", "--learning_rate", "1e-4"]


@pytest.fixture
def run(tmp_path):
    """A run that was started and got no further."""
    config = parse_config(TrainConfig, ["grpo", "tiny"], FIRST)
    return runs.create(tmp_path / "run", to_yaml(config), ["rlvr", "train", *FIRST])


def test_every_setting_that_may_change_is_a_setting():
    assert {f for f in MAY_CHANGE if f not in TrainConfig.__dataclass_fields__} == set()


def test_the_same_command_differs_in_nothing(run):
    asked = asked_config(run.path, ["grpo", "tiny"], FIRST, whole=True)
    assert differences(parse_config(TrainConfig, [str(run.config)]), asked) == {}


@pytest.mark.parametrize("whole", [True, False])
def test_other_settings_that_make_another_model_are_refused_by_name(run, whole):
    with pytest.raises(RunError) as error:
        asked_config(run.path, ["ppo", "tiny"], ["--max_steps", "4", "--learning_rate", "1.0"], whole)
    message = str(error.value)
    assert "advantage is 'grpo', asked for '" in message and "learning_rate is 0.0001, asked for 1.0" in message
    assert "max_steps" not in message


def test_a_setting_that_is_left_out_differs_too(run):
    """By the command that starts or goes on; by name it stays as it was."""
    with pytest.raises(RunError, match="learning_rate is 0.0001, asked for 5e-05"):
        asked_config(run.path, ["grpo", "tiny"], ["--max_steps", "4"], whole=True)
    assert asked_config(run.path, [], [], whole=False).learning_rate == 1e-4


def test_the_precision_stays_that_of_the_run_where_the_command_leaves_it_open(run):
    """Another machine would choose another one."""
    settings = yaml.safe_load(run.config.read_text())
    run.config.write_text(yaml.safe_dump(settings | {"bf16": not settings["bf16"]}))
    recipe = run.path / "open.yaml"
    recipe.write_text(yaml.safe_dump({k: v for k, v in settings.items() if k != "bf16"}))
    assert asked_config(run.path, [str(recipe)], [], whole=True).bf16 is not settings["bf16"]


def test_the_command_line_refuses_before_anything_is_written(run, cli):
    command = ["train", "--config", "ppo", "tiny", "--learning_rate", "1.0", "--output_dir", str(run.path)]
    before = {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()}
    done = cli(*command, "--resume", "auto")
    assert done.code == 2
    assert "was started with other settings" in done.err
    assert {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()} == before


def test_what_may_change_is_taken_and_noted(run, capsys):
    config = asked_config(run.path, [], ["--max_steps", "6", "--eval_n", "3"], whole=False)
    with open_run(config, [], ["rlvr", "train", "--resume", "x", "--max_steps", "6"], run.path) as start:
        assert start.run.path == run.path and not start.trained and start.checkpoint is None
    err = capsys.readouterr().err
    assert "max_steps: 6 from here on; the run had 4" in err and "eval_n: 3 from here on; the run had 8" in err
    assert "WARNING" not in err  # a constant rate does not know how long training is
    stored = parse_config(TrainConfig, [str(run.config)])
    assert (stored.max_steps, stored.eval_n) == (6, 3)
    lines = (run.path / "command.txt").read_text().splitlines()
    assert len(lines) == 2 and lines[1] == "rlvr train --resume x --max_steps 6"


def test_another_length_under_a_falling_rate_is_said(run, capsys):
    settings = yaml.safe_load(run.config.read_text()) | {"lr_scheduler_type": "linear"}
    run.config.write_text(yaml.safe_dump(settings))
    with open_run(asked_config(run.path, [], ["--max_steps", "6"], whole=False), [], [], run.path):
        assert "the linear learning rate ends with the training" in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["2", "8"])
def test_a_trained_run_without_checkpoints_keeps_its_length(run, steps):
    run.model.mkdir()
    config = asked_config(run.path, [], ["--max_steps", steps], whole=False)
    with pytest.raises(RunError, match="kept no checkpoint, so its length cannot change"):
        open_run(config, [], [], run.path).__enter__()
    assert run.model.is_dir()


def test_fewer_steps_than_are_trained_are_refused(run):
    from rlvr.runs import checkpoints

    staged = run.path / "staged"
    staged.mkdir()
    (staged / "a").write_text("x")
    checkpoints.publish(staged, run.checkpoints / "checkpoint-3")
    config = asked_config(run.path, [], ["--max_steps", "2"], whole=False)
    with pytest.raises(RunError, match="max_steps 2 is less than the 3 steps"):
        open_run(config, [], [], run.path).__enter__()


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe", b"[1, 2", b"learning_rat: 1\n", b"- 1\n"])
@pytest.mark.parametrize("how", [["--resume", "auto", "--output_dir"], ["--resume"]])
def test_settings_that_cannot_be_read_stop_the_run(run, text, how, cli):
    """A full disk left config.yaml empty, and the defaults were trained in its place."""
    run.config.write_bytes(text)
    done = cli("train", *(["--config", "grpo", "tiny"] if "auto" in how else []), *how, run.path)
    assert done.code == 2
    err = done.err
    assert "config.yaml" in err and "another --output_dir" in err and "Traceback" not in err
    assert run.config.read_bytes() == text and not run.metrics.exists()


def test_lengths_are_settings_that_may_change():
    assert set(LENGTH) < MAY_CHANGE


def test_a_run_directory_that_is_none_is_named(tmp_path):
    with pytest.raises(RunError, match="is not a run directory"):
        asked_config(tmp_path, [], [], whole=False)
    assert not RunDir(tmp_path).config.exists()


def test_the_token_of_the_hub_is_not_written_and_a_run_goes_on_with_or_without_it(tmp_path, capsys):
    argv = [*FIRST, "--output_dir", str(tmp_path / "run"), "--hub_token", "hf_secret"]
    config = parse_config(TrainConfig, ["grpo", "tiny"], argv)
    with open_run(config, ["grpo", "tiny"], ["rlvr", "train", *argv], None) as start:
        path = start.run.path
    for whole, flags in ((True, argv), (True, FIRST), (False, ["--hub_token=hf_secret"]), (False, [])):
        recipes = ["grpo", "tiny"] if whole else []
        asked = asked_config(path, recipes, flags, whole)
        assert asked.hub_token == (None if flags in (FIRST, []) else "hf_secret")
        with open_run(asked, recipes, ["rlvr", "train", *flags], path):
            pass
    torch.save(config, path / "training_args.bin", _use_new_zipfile_serialization=False)  # as transformers does
    written = b"".join(f.read_bytes() for f in path.rglob("*") if f.is_file() and f.name != "code.diff")
    assert b"hf_secret" not in written and b"***" in written and "hf_secret" not in "".join(capsys.readouterr())
    assert torch.load(path / "training_args.bin", weights_only=False).max_steps == 4
    assert copy.copy(config) == config and config.hub_token == "hf_secret"
