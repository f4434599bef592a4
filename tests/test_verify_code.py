"""Programs that a model wrote: what passes, what pretends to, and what the sandbox keeps them from."""

import os
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr import DataError
from rlvr.problems.verifier import Verifier
from rlvr.problems.verifiers.code import Sandbox, passes_tests
from rlvr.problems.verifiers.code_host import decode, encode

ADD = ["assert add(2, 3) == 5", "assert add(-1, 1) == 0"]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@pytest.fixture
def allowed(monkeypatch, tmp_path):
    """Ask for running programs; skip, and say so, where this machine cannot fence one in."""
    monkeypatch.setenv("RLVR_RUN_CODE", "1")
    try:
        passes_tests("def add(a, b): return a + b", ADD)
    except DataError as error:
        pytest.skip(f"NOT TESTED HERE: {error}")
    return tmp_path


@given(PLAIN)
def test_plain_values_travel_unchanged(value):
    again = decode(encode(value))
    assert repr(again) == repr(value)


class Loud(int):
    """Equal to everything."""

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize("value", [Loud(1), object(), len, [Loud(1)], {1: object()}])
def test_what_is_not_plain_does_not_travel(value):
    with pytest.raises(TypeError):
        encode(value)


def test_nothing_runs_unless_asked_for(monkeypatch):
    monkeypatch.delenv("RLVR_RUN_CODE", raising=False)
    with pytest.raises(DataError, match="RLVR_RUN_CODE=1"):
        passes_tests("def add(a, b): return a + b", ADD)


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("def add(a, b): return a + b", True),
        ("Like so:\n```python\ndef add(a, b):\n    return a + b\n```\nDone.", True),
        ("print('5')\nadd = lambda a, b: a + b", True),
        ("def add(a, b): return a - b", False),
        ("def add(a, b): return 5", False),
        ("```\ndef add(a, b): return a + b\n```\n```\ndef add(a, b): return a - b\n```", False),  # two programs
        ("def add(a, b): return a +", False),
        ("", False),
        ("def sub(a, b): return a + b", False),
        ("import sys\nsys.exit(0)", False),
        ("import os\nos._exit(0)", False),
        ("import os\ndef add(a, b): os._exit(0)", False),
        ("class E(int):\n    def __eq__(self, other): return True\ndef add(a, b): return E()", False),
        ("import builtins\nbuiltins.AssertionError = SystemExit\ndef add(a, b): return 5", False),
        ("import os\nfor fd in range(3, 9):\n  try: os.write(fd, b'{\"value\": {\"int\": \"0x5\"}}\\n')\n"
         "  except OSError: pass\ndef add(a, b): return 1", False),
        ("def add(a, b): raise ValueError", False),
        ("def add(a, b): return 'x' * 10**7", False),
    ],
)  # fmt: skip
def test_programs(allowed, program, verdict):
    assert passes_tests(program, ADD) is verdict


def test_an_expected_error_can_be_tested(allowed):
    tests = ["try:\n    half(3)\n    raise SystemError\nexcept ValueError:\n    pass"]
    odd = "def half(n):\n    if n % 2: raise ValueError\n    return n // 2"
    assert passes_tests(odd, tests)
    assert not passes_tests("def half(n): return n // 2", tests)


@pytest.mark.parametrize(
    "program",
    [
        "open('{outside}', 'w').write('x')",
        "import os; os.remove('{there}')",
        "import subprocess; subprocess.run(['rm', '{there}'], check=True)",
        "import socket; socket.create_connection(('127.0.0.1', {port}), 1)",
        "x = bytearray(2 << 30)",
        # take the read-only mark away again
        "import ctypes\na = (ctypes.c_uint64 * 4)(0, 1, 0, 0)\n"
        "ctypes.CDLL(None).syscall(442, -100, b'/', 0x8000, a, 32)\nopen('{outside}', 'w').write('x')",
    ],
)
def test_what_the_fence_keeps_in(allowed, program):
    there, outside = allowed / "there.txt", allowed / "outside.txt"
    there.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = program.format(there=there, outside=outside, port=server.getsockname()[1])
        assert not passes_tests(f"{text}\ndef add(a, b): return a + b", ADD)
    assert there.read_text() == "mine"
    assert not outside.exists()


def test_it_may_write_into_its_own_folder_which_is_gone_afterwards(allowed):
    program = "import os\ndef write(text):\n    open('a.txt', 'w').write(text)\n    return os.getcwd()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(allowed))
        assert passes_tests(program, ["assert write('x')"])
    assert os.listdir(allowed) == []


def test_time_is_limited_and_nothing_is_left_behind(allowed):
    mark = f"rlvr-left-{os.getpid()}"
    program = (
        f"import os, time\nif os.fork() == 0:\n    open('/proc/self/comm', 'w').write('{mark[:15]}')\nwhile True: pass"
    )
    start = time.monotonic()
    assert not passes_tests(program, ADD, seconds=1.0)
    assert time.monotonic() - start < 60  # it does end; a busy machine may take its time
    time_out = time.monotonic() + 30
    while _processes(mark[:15]) and time.monotonic() < time_out:
        pass
    assert not _processes(mark[:15])


def _processes(name):
    names = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                names.append(file.read().strip())
        except OSError:
            pass
    return [one for one in names if one == name]


def test_a_test_that_is_no_python_is_the_data_sets_fault(allowed):
    with pytest.raises(DataError, match="is not Python"):
        passes_tests("def add(a, b): return a + b", ["assert add(1,"])


def test_a_machine_without_namespaces_runs_nothing(allowed):
    # its mount fails, as all of it does elsewhere
    with (
        Sandbox(10.0, 256, str(allowed / "no such folder")) as sandbox,
        pytest.raises(DataError, match="Nothing was run"),
    ):
        sandbox.ask({"program": "print('hello')"})


def test_a_program_does_not_replace_what_a_test_measures_with(allowed):
    tests = ["assert abs(half(3) - 1.5) < 1e-9"]
    assert passes_tests("def half(x): return x / 2", tests)
    assert not passes_tests("def half(x): return 9.0\ndef abs(x): return 0.0", tests)


def test_a_data_sets_tests_are_fenced_in_too(allowed):
    there = allowed / "there.txt"
    there.write_text("mine")
    assert not passes_tests("def add(a, b): return a + b", [*ADD, f"import os; os.remove({str(there)!r})"])
    assert passes_tests("def add(a, b): return a + b", [*ADD, "open('mine.txt', 'w').write('x')"])
    assert there.read_text() == "mine"


def test_a_problem_set_with_tests_is_judged_in_a_worker(allowed):
    import json

    path = allowed / "programs.jsonl"
    rows = [{"prompt": "Write add(a, b).", "answer": "def add(a, b): return a + b", "checks": ADD}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    from rlvr import load_problems

    spec = f"hf(path={str(path)!r}, tests='checks', verifier='code')"
    [problem] = load_problems(spec, "test", None, 0)
    verifier = Verifier(spec, timeout=30)
    try:
        answers = [problem.answer["text"], "def add(a, b): return a * b", "while True: pass"]
        verifier.timeout = verifier.worker.timeout = 30
        assert verifier.verify_many([(a, problem.answer) for a in answers[:2]]) == [True, False]
        verifier.worker.timeout = 2
        assert verifier.verify_many([(answers[2], problem.answer)]) == [None]
        assert verifier.verify_many([(answers[0], problem.answer)]) != [False]
    finally:
        verifier.close()
