"""rlvr check tries answers that solve nothing, and names what is paid."""

import json

import pytest

from rlvr.problems.copies import paid_copies

LENIENT = """
from rlvr.core.records import Problem
VERSION = 1
INLINE = True
def load(split, size, seed):
    golds = [str(a * b) for a, b in zip(range(2, 12), range(12, 2, -1))]
    return [
        Problem(f"p{i}", [{"role": "user", "content": f"What is {a} * {b}?"}], str(a * b))
        for i, (a, b) in enumerate(zip(range(2, 12), range(12, 2, -1)))
    ]
def solution(problem): return f"I multiply and get {problem.answer}."
"""
HOLES = {
    "the prompt": "return answer == gold or answer.endswith('?')",
    "the arithmetic in the prompt": "return answer == gold or ('*' in answer and '?' not in answer and str(eval(answer)) == gold)",
    "the worked solution's whole text": "return answer == gold or answer.endswith(gold + '.')",
    "two answers, the right one first": "return answer == gold or answer.startswith(gold + ' or')",
    "two answers, the right one last": "return answer == gold or answer.endswith('or ' + gold)",
    "two answers on two lines": "return gold in answer.splitlines()",
    "a list of guesses": "return gold in answer.split(', ')",
}


@pytest.mark.parametrize("kind", HOLES)
def test_each_kind_of_copy_is_found_and_named(tmp_path, kind):
    path = tmp_path / "lenient.py"
    path.write_text(LENIENT + f"def verify(answer, gold): {HOLES[kind]}\n")
    [line] = paid_copies(str(path), ("test",), 10, 0)
    assert line.startswith(f"test: {kind} is paid in ")
    assert "of 10 problems, as in p0: " in line


@pytest.mark.parametrize(
    "spec", ["arithmetic", "arithmetic(mode='choice')", "arithmetic(mode='mod')", "countdown", "inverse"]
)
def test_nothing_is_paid_in_the_built_in_sets(spec):
    assert paid_copies(spec, ("train", "test"), 40, 0) == []


@pytest.mark.parametrize("verifier", ["exact", "number", "math"])
def test_nothing_is_paid_in_rows_of_products(tmp_path, verifier):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"What is {a} * {a + 1}?", "answer": a * (a + 1)}) + "\n" for a in range(40))
    )
    assert paid_copies(f"jsonl(path={str(path)!r}, verifier={verifier!r})", ("all",), 40, 0) == []


def test_the_command_fails_and_says_why(tmp_path, cli):
    path = tmp_path / "lenient.py"
    path.write_text(LENIENT + "def verify(answer, gold): return answer.endswith(gold)\n")
    done = cli("check", path, "--splits", "test")
    assert done.code == 1
    said = done.out
    assert "two answers, the right one last is paid in 10 of 10 problems" in said
    done = cli("check arithmetic --size 20 --splits test")
    assert done.code == 0


def test_strict_gsm8k_pays_for_the_number_alone_and_published_does_not(gsm8k_rows):
    """published takes the last number: right for measuring, and a policy would learn to list guesses."""
    assert paid_copies(f"gsm8k(path={str(gsm8k_rows)!r})", ("all",), 400, 0) == []
    paid = paid_copies(f"gsm8k(path={str(gsm8k_rows)!r}, verifier='published')", ("all",), 400, 0)
    assert any("a list of guesses is paid in 400 of 400" in line for line in paid)
    assert any("the worked solution's whole text is paid" in line for line in paid)
