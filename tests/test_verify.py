"""Verification under a wall-clock limit, in the main thread and outside it; failures counted, the pool survives."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from rlvr.verify import Verifier
from tests.conftest import REPO

HOSTILE = """
from rlvr.records import Problem
VERSION = 1
def load(split, size, seed): return []
def verify(answer, gold):
    if answer == "hang":
        while True: pass
    if answer == "raise": raise ValueError("cannot judge")
    if answer == "text": return "yes"
    return answer == gold
"""
PAIRS = [("1", "1"), ("2", "1"), ("hang", "1"), ("raise", "1"), ("text", "1"), (None, "1"), ("1", "1")]
VERDICTS = [True, False, None, None, None, False, True]


@pytest.fixture(scope="module")
def verifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("v") / "hostile.py"
    path.write_text(HOSTILE)
    made = Verifier(str(path), timeout=0.5)
    yield made
    made.close()


def test_hangs_errors_and_wrong_types_are_none_and_counted(verifier):
    before = dict(verifier.errors)
    assert verifier.verify_many(PAIRS) == VERDICTS
    new = {k: n - before.get(k, 0) for k, n in verifier.errors.items()}
    assert new == {"timeout": 1, "ValueError: cannot judge": 1, "TypeError: verify returned str, not bool": 1}


def test_the_limit_also_works_outside_the_main_thread(verifier):
    got = []
    thread = threading.Thread(target=lambda: got.extend(verifier.verify_many(PAIRS)))
    thread.start()
    thread.join(timeout=60)
    assert got == VERDICTS
    assert verifier.verify_many([("1", "1")]) == [True]  # the pool goes on after a kill


def test_inline_sets_need_no_process():
    verifier = Verifier("arithmetic")
    assert verifier.verify_many([("46", "46"), ("x", "46"), (None, "46")]) == [True, False, False]
    assert not verifier.worker.running


DEADLY = """
import os, sys
VERSION = 1
class TwoArguments(Exception):
    def __init__(self, a, b): super().__init__(a)
class Mute(Exception):
    def __str__(self): raise RuntimeError("no text")
def load(split, size, seed): return []
def verify(answer, gold):
    if answer == "two": raise TwoArguments("cannot be unpickled", 2)
    if answer == "mute": raise Mute
    if answer == "exit": sys.exit(3)
    if answer == "die" and not INLINE: os._exit(9)
    if answer == "c code": return sum(range(10**13)) == 0
    return answer == gold
"""


def deadly(tmp_path, inline):
    path = tmp_path / f"deadly_{inline}.py"
    path.write_text(DEADLY + f"INLINE = {inline}\n")
    return Verifier(str(path), timeout=0.5)


@pytest.mark.parametrize("inline", [False, True])
def test_no_exception_ends_the_run_or_breaks_the_pool(tmp_path, inline):
    verifier = deadly(tmp_path, inline)
    try:
        for _ in range(2):
            answers = [(a, "1") for a in ("two", "1", "mute", "1", "exit", "1")]
            assert verifier.verify_many(answers) == [None, True, None, True, None, True]
        assert verifier.errors == {"TwoArguments: cannot be unpickled": 2, "Mute": 2, "SystemExit: 3": 2}
    finally:
        verifier.close()


def test_a_worker_that_dies_costs_its_own_answer_only(tmp_path):
    others = set(multiprocessing.active_children())
    verifier = deadly(tmp_path, False)
    try:
        assert verifier.verify_many([("1", "1"), ("die", "1"), ("1", "1")]) == [True, None, True]
        assert verifier.errors == {"ProcessExpired: Abnormal termination": 1}
        [worker] = set(multiprocessing.active_children()) - others
        worker.kill()  # while idle, as the kernel does when memory runs out: this breaks a pebble pool for good
        worker.join()
        verifier.verify_many([("1", "1")])  # may or may not reach the broken pool
        assert verifier.verify_many([("1", "1"), ("2", "1")]) == [True, False]
    finally:
        verifier.close()


def test_a_hang_inside_c_code_is_cut_off_at_once(tmp_path):
    verifier = deadly(tmp_path, False)
    try:
        assert verifier.verify_many([("1", "1")]) == [True]
        start = time.monotonic()
        assert verifier.verify_many([("c code", "1")]) == [None]
        assert time.monotonic() - start < 3.0  # 0.5 s limit; the pool's own grace period would add 3 s
    finally:
        verifier.close()


def test_a_gold_answer_that_cannot_travel_is_counted(verifier):
    assert verifier.verify_many([("1", lambda: 1), ("1", "1")]) == [None, True]
    assert any("pickle" in reason.lower() for reason in verifier.errors), verifier.errors


def test_the_worker_never_imports_torch(tmp_path):
    path = tmp_path / "light.py"
    path.write_text(
        "import sys\nfrom rlvr.records import Problem\nVERSION = 1\ndef load(split, size, seed): return []\n"
        "def verify(answer, gold): return 'torch' in sys.modules\n"
    )
    verifier = Verifier(str(path))
    try:
        assert verifier.verify_many([("x", "y")]) == [False]
    finally:
        verifier.close()


def test_a_forgotten_close_does_not_keep_python_alive(tmp_path):
    (tmp_path / "hostile.py").write_text(HOSTILE)
    code = "from rlvr.verify import Verifier\nif __name__ == '__main__': print(Verifier('hostile.py').verify_many([('1', '1')]))"
    (tmp_path / "main.py").write_text(code)
    env = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[True]\n", 0), done.stderr
