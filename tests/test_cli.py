"""The command's manners: help with examples, did-you-mean, listings, copies, no torch for the cheap commands."""

import subprocess
import sys

import pytest

from rlvr.commands.main import COMMANDS
from tests.conftest import run_apart


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command, cli):
    done = cli(command, "--help")
    assert done.code == 0
    text = done.out
    assert f"rlvr {command}" in text
    assert "examples:" in text


def test_train_help_names_rlvr_and_trl_settings(cli):
    done = cli("train --help")
    assert done.code == 0
    text = done.out
    for flag in ("--advantage", "--rewards", "--num_generations", "--learning_rate", "--loss_type"):
        assert f"\n  {flag} (default" in text


def test_overview_and_unknown_command(cli):
    done = cli()
    assert done.code == 0
    assert "rlvr COMMAND --help" in done.out
    done = cli("trian")
    assert done.code == 2
    assert "No command 'trian'. Did you mean 'train'" in done.err


def test_ls_lists_every_kind(cli):
    done = cli("ls")
    assert done.code == 0
    text = done.out
    for name in ("rlcr", "brier", "arithmetic", "nsr", "drop_near_impossible", "smollm2-135m-instruct"):
        assert f"  {name} " in text


def test_cp_copies_once(tmp_path, cli):
    done = cli("cp brier", tmp_path)
    assert done.code == 0
    assert "def brier(" in (tmp_path / "brier.py").read_text()
    done = cli("cp brier", tmp_path)
    assert done.code == 2
    assert "exists already" in done.err
    done = cli("cp briar", tmp_path)
    assert done.code == 2
    assert "Did you mean 'brier'" in done.err


def test_explain_prints_the_signal_without_a_model(cli):
    done = cli("explain --advantage nsr")
    assert done.code == 0
    assert "keep_negative()" in done.out
    done = cli("explain --advantage nsrr")
    assert done.code == 2


def test_check_accepts_every_gold_answer(cli):
    done = cli("check arithmetic countdown --size 30")
    assert done.code == 0
    assert "arithmetic: ok" in done.out


def test_ls_does_not_load_torch():
    code = "import sys; from rlvr.commands.main import main; main(['ls', 'rewards']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


LISTS_SETTINGS = ("train", "evaluate", "score", "import")  # of dataclasses whose fields are TRL's or stand beside them


def test_help_loads_no_library_but_where_it_lists_settings():
    """`rlvr doctor --help` took five seconds of imports."""
    light = [command for command in COMMANDS if command not in LISTS_SETTINGS]
    code = f"""
import contextlib, io, sys
from rlvr.commands.main import main
for command in {light}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main([command, "--help"])
    for library in ("torch", "transformers", "trl", "numpy", "pandas", "matplotlib", "datasets"):
        assert library not in sys.modules, (command, library)
"""
    done = run_apart("", start=("-c", code))
    assert done.code == 0, done.err


@pytest.mark.parametrize("command", ["plan", "doctor", "warmup", "calibrate"])
def test_help_says_where_the_settings_are_listed(command, cli):
    assert "rlvr train --help lists them" in cli(command, "--help").out


def test_version(cli):
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("rlvr 0.")


def test_a_reader_that_goes_away_is_no_success():
    """`rlvr ... | head -2` ended with status 0, whatever was left to do."""
    code = "import sys; from rlvr.commands.main import main; sys.exit(main(['ls']))"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | true; echo ${{PIPESTATUS[0]}}', shell=True, executable="/bin/bash", capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("141\n", "")
