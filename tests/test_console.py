"""One logger, "rlvr": lines on standard error by default and for the command, records for a program with its own logging."""

import ast
import logging
import subprocess
import sys

import pytest

from tests.conftest import REPO

SAY = 'import sys; from rlvr.core.console import LOG, warn_once; LOG.info("progress"); [warn_once("WARNING: odd") for _ in "ab"]'


def heard(before="", after=""):
    """What a fresh process has on (standard output, standard error)."""
    code = f"import logging, sys\n{before}\nimport rlvr.core.console\n{after}\n{SAY}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_without_set_up_every_message_is_a_line_on_standard_error():
    assert heard() == ("", "progress\nWARNING: odd\n")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_program_can_silence_it_before_or_after_the_import(when):
    assert heard(**{when: 'logging.getLogger("rlvr").setLevel(logging.WARNING)'}) == ("", "WARNING: odd\n")
    assert heard(**{when: 'logging.getLogger("rlvr").setLevel(logging.CRITICAL)'}) == ("", "")


def test_a_program_with_its_own_logging_gets_records_and_no_second_line():
    found = heard('logging.basicConfig(stream=sys.stdout, format="%(levelname)s|%(name)s|%(message)s")')
    assert found == ("INFO|rlvr|progress\nWARNING|rlvr|WARNING: odd\n", "")


def test_the_command_prints_whoever_has_configured_logging(caplog, cli):
    """Its warning about a chain is one line, and a record as well."""
    done = cli("explain --advantage", "grpo, keep_negative")
    assert done.code == 0
    assert "kept in the loss" in done.out
    assert done.err.startswith("keep_negative() comes after group_center()")
    assert done.err.count("\n") == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_nothing_else_speaks():
    """No print outside the command, no warnings.warn: a user of the library can silence all of it in one place."""
    speaking = {"commands/main.py", "core/console.py"}  # errors of the command; the channel itself
    for path in (REPO / "rlvr").rglob("*.py"):
        name = path.relative_to(REPO / "rlvr").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called != "warnings.warn" or "DeprecationWarning" in ast.unparse(node), name  # Python's own channel
            if called == "print" and name not in speaking:
                assert name.startswith("commands/"), name
                assert all(keyword.arg != "file" for keyword in node.keywords), f"{name}: what is no result goes to LOG"
