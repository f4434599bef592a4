"""What load_problems and check find in a user's problem set before any model is loaded."""

import pytest

from rlvr.core.errors import DataError, SpecError
from rlvr.problems.check import check
from rlvr.problems.sets import load_problems

HEAD = "import time\nfrom rlvr.core.records import Problem\nVERSION = 1\nQ = [{'role': 'user', 'content': '1 + 1?'}]\n"
GOOD_LOAD = "def load(split, size, seed, **more): return [Problem('a', Q, '2', meta=more)]\n"
GOOD_VERIFY = "def verify(answer, gold): return answer == gold\n"


@pytest.fixture
def mine(tmp_path):
    def write(body):
        (tmp_path / "mine.py").write_text(HEAD + body)
        return str(tmp_path / "mine.py")

    return write


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("[{'id': 'a'}]", "must return rlvr.Problem records, found {'id': 'a'}"),
        ("[Problem('a', 'text', '2')]", "must be a list of chat messages"),
        ("[Problem('a', [{'role': 'user', 'content': None}], '2')]", "must be a list of chat messages"),
        ("[Problem('a', [{'content': 'x'}], '2')]", "must be a list of chat messages"),
        ("[Problem('a', [], '2')]", "has an empty prompt"),
        ("[Problem('a', Q, {1, 2})]", "its answer cannot be written as JSON: Object of type set"),
        ("[]", "has no problems in its train split"),
    ],
)
def test_what_a_set_returns_is_checked(mine, returned, message):
    with pytest.raises(DataError) as caught:
        load_problems(mine(f"def load(split, size, seed): return {returned}\n" + GOOD_VERIFY), "train", 1, 0)
    assert message in str(caught.value)


def test_a_set_is_a_whole_file(mine):
    with pytest.raises(SpecError, match="A problem set is a whole file"):
        load_problems(mine(GOOD_LOAD + GOOD_VERIFY) + ":load", "train", 1, 0)


def test_a_set_may_take_any_parameter(mine):
    assert load_problems(mine(GOOD_LOAD + GOOD_VERIFY) + "(level=3)", "train", 1, 0)[0].meta == {"level": 3}


@pytest.mark.parametrize(
    ("verify", "found"),
    [
        ("return False", "verify('2', '2') gave False, not True"),
        ("return True", "verify('', '2') gave True, not False"),
        ("return 1 / len(answer) > 0", "verify('', '2') gave 'ZeroDivisionError: division by zero', not False"),
        ("return 'yes'", "gave 'TypeError: verify returned str, not bool', not True"),
        ("exec('while answer == gold: pass'); return False", "verify('2', '2') gave 'timeout', not True"),
    ],
)
def test_check_finds_a_bad_verifier(mine, verify, found):
    failures = check(mine(GOOD_LOAD + f"def verify(answer, gold): {verify}\n"), ("train",), 1, 0)
    assert any(found in failure for failure in failures), failures


def test_check_passes_a_good_set_and_uses_its_own_gold_answer(mine):
    gold = "def gold_answer(problem): return '1+1'\ndef verify(answer, gold): return answer == '1+1'\n"
    assert check(mine(GOOD_LOAD + gold), ("train", "test"), 1, 0) == []


def test_sys_exit_in_a_users_set_is_a_mistake(mine):
    """It ended the run with status 0, as if all were done."""
    with pytest.raises(SpecError, match=r"mine\.py cannot be imported: SystemExit: 0"):
        load_problems(mine("import sys\nsys.exit(0)\n" + GOOD_LOAD + GOOD_VERIFY), "train", 1, 0)


def test_sys_exit_while_loading_is_a_mistake(mine):
    with pytest.raises(SpecError, match=r"Cannot load .*: it calls sys\.exit\(0\)"):
        load_problems(mine("def load(split, size, seed): raise SystemExit(0)\n" + GOOD_VERIFY), "train", 1, 0)


@pytest.mark.parametrize(
    "hang", ["while True: pass", "sum(range(10**13))", "time.sleep(1000)", "import threading; threading.Event().wait()"]
)
def test_a_file_that_hangs_when_imported_meets_a_limit(mine, monkeypatch, hang):
    monkeypatch.setenv("RLVR_IMPORT_SECONDS", "0.5")
    with pytest.raises(SpecError, match=r"mine\.py takes longer than 0\.5 s to import.*RLVR_IMPORT_SECONDS"):
        load_problems(mine(hang + "\n" + GOOD_LOAD + GOOD_VERIFY), "train", 1, 0)


def test_a_file_that_kills_python_when_imported_is_named(mine):
    with pytest.raises(SpecError, match=r"mine\.py ends Python when it is imported \(exit status 3\)"):
        load_problems(mine("import os; os._exit(3)\n" + GOOD_LOAD + GOOD_VERIFY), "train", 1, 0)


def test_the_import_limit_is_checked_and_may_be_off(mine, monkeypatch):
    monkeypatch.setenv("RLVR_IMPORT_SECONDS", "soon")
    with pytest.raises(
        SpecError, match="RLVR_IMPORT_SECONDS must be a number of seconds, 0 for no limit, found 'soon'"
    ):
        load_problems(mine(GOOD_LOAD + GOOD_VERIFY), "train", 1, 0)
    monkeypatch.setenv("RLVR_IMPORT_SECONDS", "0")
    assert len(load_problems(mine(GOOD_LOAD + GOOD_VERIFY), "train", 1, 0)) == 1


def test_what_a_file_prints_when_imported_is_printed_once(mine, capfd):
    load_problems(mine("print('hello')\n" + GOOD_LOAD + GOOD_VERIFY), "train", 1, 0)
    assert capfd.readouterr().out == "hello\n"
