"""A user's own file: hostile bytes, exact numbers, math answers under the time limit."""

import json

import pytest

from rlvr import content
from rlvr.errors import DataError
from rlvr.verify import Verifier

jsonl = content.load("data", "jsonl")


@pytest.mark.parametrize(
    ("line", "verifier", "message"),
    [
        (b'{"prompt": "caf\xe9", "answer": "1"}', "exact", "line 2 is not JSON: 'utf-8' codec can't decode byte 0xe9"),
        (b'{"prompt": "x", "answer": ' + b"9" * 5000 + b"}", "exact", "line 2 is not JSON: Exceeds the limit"),
        (b"[" * 100_000, "exact", "line 2 is not JSON: maximum recursion depth"),
        (
            b'{"prompt": [{"role": "user", "content": null}], "answer": "1"}',
            "exact",
            "line 2, column 'prompt': expected",
        ),
        (
            b'{"prompt": "x", "answer": "twelve"}',
            "number",
            "line 2, column 'answer': expected a number, found 'twelve'",
        ),
        (b'{"prompt": "x", "answer": NaN}', "number", "line 2, column 'answer': expected a number, found nan"),
    ],
)
def test_bad_rows_are_named(tmp_path, line, verifier, message):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"prompt": "ok", "answer": "1"}\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        jsonl.load("train", None, 0, str(path), verifier=verifier)
    assert message in str(caught.value)


def test_a_line_separator_in_a_string_and_blank_lines_are_no_rows(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a\u2028b", "answer": "1"}\n\n{"prompt": "c", "answer": "2"}\r\n', encoding="utf-8-sig")
    rows = [p for s in ("train", "validation", "test") for p in jsonl.load(s, None, 0, str(path))]
    assert {(p.id, p.prompt[0]["content"]) for p in rows} == {("mine/1", "a\u2028b"), ("mine/3", "c")}


def test_the_prompt_decides_the_split_wherever_its_line_stands(tmp_path):
    rows = [json.dumps({"prompt": f"question {i}", "answer": i}) for i in range(100)]
    for name, lines in (("a", rows), ("b", rows[::-1])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    split_of = {
        name: {
            p.prompt[0]["content"]: s
            for s in ("train", "validation", "test")
            for p in jsonl.load(s, None, 0, str(tmp_path / f"{name}.jsonl"))
        }
        for name in "ab"
    }
    assert split_of["a"] == split_of["b"]
    assert len(split_of["a"]) == 100


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("9007199254740993", "9007199254740992", False),  # equal as floats
        ("0.1", "0.10", True), (".5", "0.5", True), ("5.", "5", True), ("1e3", "1000", True), ("-$5", "-5", True),
        ("1_0", "10", False), ("1,0", "10", False), ("inf", "1e999", False), ("nan", "nan", False), ("٥", "5", False),
        ("5 or 6", "5", False), ("1e9999", "1", False), ("0" * 2000 + "5", "5", False),
    ],
)  # fmt: skip
def test_number_decisions(answer, gold, verdict):
    assert jsonl.verify(answer, {"text": gold, "verifier": "number"}) is verdict


def test_an_exact_answer_may_be_long():
    assert jsonl.verify("word " * 1000, {"text": "word " * 1000, "verifier": "exact"})


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("46", True), ("\\boxed{46}", True), ("x = 46", True), ("92/2", False), ("46.0", True),
        ("45 or 46", False), ("46, 45", False), ("$46$ $45$", False), ("\\boxed{45}, \\boxed{46}", False), ("-46", False),
        ("not a formula {{{", False), ("\\frac{", False), ("4" * 100_000, False),
    ],
)  # fmt: skip
def test_math_decisions(answer, verdict):
    """Naming several values earns nothing; what cannot be read is wrong."""
    assert jsonl.verify(answer, {"text": "46", "verifier": "math"}) is verdict


def test_a_formula_without_end_meets_the_time_limit():
    verifier = Verifier("jsonl", timeout=1.0)
    gold = {"text": "x + 46", "verifier": "math"}
    try:
        assert verifier.verify_many([("x+46", gold), ("9^{9^{9}}", gold), ("46+x", gold)]) == [True, None, True]
        assert verifier.errors == {"timeout": 1}
    finally:
        verifier.close()
