"""Verification under a wall-clock limit, in the main thread and outside it; failures counted, the pool survives."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from rlvr.core.errors import DataError, SpecError
from rlvr.problems.verifier import Verifier
from tests.conftest import REPO

HOSTILE = """
from rlvr.core.records import Problem
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
        worker.kill()  # while idle, as the kernel does when memory runs out: the next call starts another
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
        "import sys\nfrom rlvr.core.records import Problem\nVERSION = 1\ndef load(split, size, seed): return []\n"
        "def verify(answer, gold): return 'torch' in sys.modules\n"
    )
    verifier = Verifier(str(path))
    try:
        assert verifier.verify_many([("x", "y")]) == [False]
    finally:
        verifier.close()


def test_a_forgotten_close_does_not_keep_python_alive(tmp_path):
    (tmp_path / "hostile.py").write_text(HOSTILE)
    code = "from rlvr.problems.verifier import Verifier\nif __name__ == '__main__': print(Verifier('hostile.py').verify_many([('1', '1')]))"
    (tmp_path / "main.py").write_text(code)
    env = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[True]\n", 0), done.stderr


LINES = """
from rlvr.problems.verifier import Verifier
verifier = Verifier("hostile.py", timeout=5)
print(verifier.verify_many([("1", "1"), ("2", "1")]))
"""


@pytest.mark.parametrize("way", ["script", "heredoc", "-c"])
def test_it_works_from_a_script_without_a_main_guard(tmp_path, way):
    """multiprocessing runs a caller's script again in each new process: workers without end, or none."""
    (tmp_path / "hostile.py").write_text(HOSTILE)
    (tmp_path / "main.py").write_text(LINES)
    arguments = {"script": ["main.py"], "heredoc": ["-"], "-c": ["-c", LINES]}[way]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True,
        text=True, input=LINES if way == "heredoc" else None, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("[True, False]\n", "", 0)


def test_the_callers_main_module_is_as_it_was(verifier):
    main = sys.modules["__main__"]
    before = dict(vars(main))
    verifier.close()
    assert verifier.verify_many([("1", "1")]) == [True]
    assert {name: vars(main).get(name) for name in before} == before
    assert vars(main).keys() == before.keys()


SYSTEM = """
import asyncio, subprocess, sys, os, time
import numpy as np
from pathlib import Path
VERSION = 1
class Odd(BaseException): pass
def load(split, size, seed): return []
def verify(answer, gold):
    if answer == "cancelled": raise asyncio.CancelledError("gave up")
    if answer == "odd": raise Odd("base")
    if answer == "generator": raise GeneratorExit
    if answer == "numpy": return np.bool_(gold == "1")
    if answer == "integer": return np.int64(1)
    if answer == "ctrl-c" and not INLINE: raise KeyboardInterrupt
    if answer == "bomb": return len(bytearray(6_000_000_000)) > 0
    if answer == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(gold).write_text(str(child.pid))
    if answer == "child, hang":
        forked = os.fork()
        if forked == 0:
            time.sleep(600)
        Path(gold).write_text(str(forked))
        while True: pass
    return answer == gold
"""


def system(tmp_path, inline=False, **more):
    path = tmp_path / f"system_{inline}.py"
    path.write_text(SYSTEM + f"INLINE = {inline}\n")
    return Verifier(str(path), **{"timeout": 5.0, **more})


@pytest.mark.parametrize("inline", [False, True])
def test_base_exceptions_are_counted_events(tmp_path, inline):
    verifier = system(tmp_path, inline)
    try:
        assert verifier.verify_many([(a, "1") for a in ("cancelled", "odd", "generator", "1")]) == [None] * 3 + [True]
        assert verifier.errors == {"CancelledError: gave up": 1, "Odd: base": 1, "GeneratorExit": 1}
        if not inline:
            assert verifier.verify_many([("ctrl-c", "1"), ("1", "1")]) == [None, True]
    finally:
        verifier.close()


@pytest.mark.parametrize("inline", [False, True])
def test_a_numpy_verdict_is_a_verdict(tmp_path, inline):
    verifier = system(tmp_path, inline)
    try:
        assert verifier.verify_many([("numpy", "1"), ("numpy", "2"), ("integer", "1")]) == [True, False, None]
        assert verifier.errors == {"TypeError: verify returned <class 'numpy.int64'>, not bool": 1}
    finally:
        verifier.close()


@pytest.mark.parametrize("answer", ["child", "child, hang"])
def test_what_a_verifier_started_dies_with_it(tmp_path, answer):
    verifier, note = system(tmp_path, timeout=0.5), tmp_path / "pid"
    verifier.verify_many([("1", "1"), (answer, str(note))])
    verifier.close()
    deadline = time.monotonic() + 10
    while alive(int(note.read_text())):
        assert time.monotonic() < deadline, "the verifier's child survived it"


def alive(pid):
    """Whether a process runs; one that nobody has waited for yet (a zombie) does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_dies_with_a_killed_parent(tmp_path):
    """Even in the middle of a verification that never ends."""
    (tmp_path / "system.py").write_text(SYSTEM + "INLINE = False\n")
    code = f"from rlvr.problems.verifier import Verifier\nVerifier('system.py', 600).verify_many([('child, hang', '{tmp_path}/pid')])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPO)})
    deadline = time.monotonic() + 60
    while not ((note := tmp_path / "pid").is_file() and note.read_text()):
        assert time.monotonic() < deadline
    parent.kill()
    parent.wait()
    while alive(int(note.read_text())):
        assert time.monotonic() < deadline, "the verifier's child survived the run"


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED: only Linux enforces a limit on a process's data")
def test_a_verifier_may_not_eat_all_memory(tmp_path, monkeypatch, capsys):
    verifier = system(tmp_path)
    try:
        assert verifier.verify_many([("bomb", "1"), ("1", "1")]) == [None, True]
        assert verifier.errors == {"MemoryError": 1}
        assert (
            "MemoryError within 4 GB (the environment variable RLVR_VERIFIER_GB; 0 is no limit)"
            in capsys.readouterr().err
        )
    finally:
        verifier.close()
    monkeypatch.setenv("RLVR_VERIFIER_GB", "0")
    assert system(tmp_path).worker.memory is None
    monkeypatch.setenv("RLVR_VERIFIER_GB", "lots")
    with pytest.raises(SpecError, match="RLVR_VERIFIER_GB must be a number of gigabytes, 0 for no limit, found 'lots'"):
        system(tmp_path)


def test_the_first_failure_is_told_once_and_a_run_without_verdicts_stops(tmp_path, capsys):
    down = tmp_path / "down.py"
    down.write_text(
        "VERSION = 1\nINLINE = True\ndef load(split, size, seed): return []\n"
        "def verify(answer, gold):\n    if answer == 'ok': return True\n    raise ConnectionError('judge is down')\n"
    )
    verifier = Verifier(str(down), patience=8)
    assert verifier.verify_many([("x", "1")] * 7 + [(None, "1")]) == [None] * 7 + [False]
    told = capsys.readouterr().err
    assert told.count("ConnectionError: judge is down") == 1
    with pytest.raises(DataError, match=r"failed on all of its first 8 answers: 8 x ConnectionError: judge is down\."):
        verifier.verify_many([("x", "1")])
    lucky = Verifier(str(down), patience=8)
    assert lucky.verify_many([("ok", "1")] + [("x", "1")] * 40) == [True] + [None] * 40  # one verdict: it goes on
