"""The command's manners: help with examples, did-you-mean, listings, copies, no torch for the cheap commands."""

import dataclasses
import re
import subprocess
import sys
import textwrap

import pytest

from rlvr.advantages import RECIPES, TRANSFORMS
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
    done = cli("train --help all")
    assert done.code == 0
    text = done.out
    for flag in ("--advantage", "--rewards", "--num_generations", "--learning_rate", "--loss_type"):
        assert f"\n  {flag} (default" in text


def test_short_train_help_lists_our_settings_as_they_are_and_says_where_trls_are(cli):
    from rlvr.config.run_settings import TRL_SETTINGS, RunSettings

    short, every = cli("train --help").out, cli("train --help all").out
    assert "rlvr train --help all" in short
    entry = re.compile(r"^  (--\w+) \(default: .*\)\n      .*$", re.MULTILINE)
    ours = {match[1]: match[0] for match in entry.finditer(short)}
    assert ours.keys() == {f"--{field.name}" for field in dataclasses.fields(RunSettings)}
    listed = {match[1]: match[0] for match in entry.finditer(every)}
    assert ours.items() <= listed.items()  # the same defaults and help as the config that trains
    for name in TRL_SETTINGS:
        assert f"--{name}" in listed and f"--{name}" not in ours and f"--{name}" in short


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


def test_ls_reads_the_advantages_as_they_are(cli):
    """It reads the source, so that it need not import torch."""
    listed = [line.split(maxsplit=1) for line in cli("ls advantages").out.splitlines()[1:]]
    things = {**RECIPES, **TRANSFORMS}
    assert listed == [[name, thing.__doc__.strip().split("\n")[0]] for name, thing in things.items()]


def test_help_and_what_needs_no_tensor_load_no_library(tmp_path):
    """`rlvr train --help` took six seconds of imports."""
    lines = [[], ["--version"], *([command, "--help"] for command in COMMANDS)]
    lines += [["decide", kind, "--help"] for kind in ("utility", "vote", "rank")]
    lines += [["ls"], ["cp", "brier", str(tmp_path)], ["check", "arithmetic", "--size", "5"]]
    code = f"""
import contextlib, io, sys
from rlvr.commands.main import main
for line in {lines}:
    out, status = io.StringIO(), 0
    with contextlib.redirect_stdout(out):
        try:
            status = main(line)
        except SystemExit as end:
            status = end.code
    assert status in (0, None) and out.getvalue(), (line, status)
    for library in ("torch", "transformers", "trl", "accelerate", "numpy", "pandas", "matplotlib", "datasets"):
        assert library not in sys.modules, (line, library)
"""
    script = tmp_path / "run.py"  # a file: `rlvr check` starts a verifier process, which imports this one's main module
    script.write_text("if __name__ == '__main__':\n" + textwrap.indent(code, "    "), encoding="utf-8")
    done = run_apart("", start=(str(script),))
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
