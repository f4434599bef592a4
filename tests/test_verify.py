"""Verification under a wall-clock limit, in the main thread and outside it; failures counted, the pool survives."""

import threading

import pytest

from rlvr.verify import Verifier

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
    assert verifier._pool is None
