"""The command's manners: help with examples, did-you-mean, listings, copies, no torch for the cheap commands."""

import subprocess
import sys

import pytest

from rlvr.commands.main import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command, capsys):
    try:
        status = main([command, "--help"])
    except SystemExit as exit:
        status = exit.code
    assert status == 0
    text = capsys.readouterr().out
    assert f"rlvr {command}" in text
    assert "examples:" in text


def test_train_help_names_rlvr_and_trl_settings(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("--advantage", "--rewards", "--num_generations", "--learning_rate", "--loss_type"):
        assert f"\n  {flag} (default" in text


def test_overview_and_unknown_command(capsys):
    assert main([]) == 0
    assert "rlvr COMMAND --help" in capsys.readouterr().out
    assert main(["trian"]) == 2
    assert "No command 'trian'. Did you mean 'train'" in capsys.readouterr().err


def test_ls_lists_every_kind(capsys):
    assert main(["ls"]) == 0
    text = capsys.readouterr().out
    for name in ("rlcr", "brier", "arithmetic", "nsr", "drop_near_impossible", "smollm2-135m-instruct"):
        assert f"  {name} " in text


def test_cp_copies_once(tmp_path, capsys):
    assert main(["cp", "brier", str(tmp_path)]) == 0
    assert "def brier(" in (tmp_path / "brier.py").read_text()
    assert main(["cp", "brier", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["cp", "briar", str(tmp_path)]) == 2
    assert "Did you mean 'brier'" in capsys.readouterr().err


def test_explain_prints_the_signal_without_a_model(capsys):
    assert main(["explain", "--advantage", "nsr"]) == 0
    assert "keep_negative()" in capsys.readouterr().out
    assert main(["explain", "--advantage", "nsrr"]) == 2


def test_check_accepts_every_gold_answer(capsys):
    assert main(["check", "arithmetic", "countdown", "--size", "30"]) == 0
    assert "arithmetic: ok" in capsys.readouterr().out


def test_ls_does_not_load_torch():
    code = "import sys; from rlvr.commands.main import main; main(['ls', 'rewards']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rlvr 0.")


def test_a_reader_that_goes_away_is_no_success():
    """`rlvr ... | head -2` ended with status 0, whatever was left to do."""
    code = "import sys; from rlvr.commands.main import main; sys.exit(main(['ls']))"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | true; echo ${{PIPESTATUS[0]}}', shell=True, executable="/bin/bash", capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("141\n", "")
