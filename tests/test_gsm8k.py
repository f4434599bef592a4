"""GSM8K's number reading, its split of the official train rows, and rows that are not what they should be."""

import json

import pytest

from rlvr.core import specs
from rlvr.core.errors import DataError
from rlvr.problems.check import check
from rlvr.problems.sets import load_problems, measured_warnings

gsm8k = specs.import_file("data", "gsm8k")


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("-0.5", "0.5", False), ("-0.5", "-0.50", True), ("0.50", "0.5", True), ("-$5", "-5", True), ("$-5", "-5", False),
        ("+5", "5", True), ("1,200", "1200", True), ("1200", "1,200", True), ("12,00", "1200", False), ("50%", "50", True),
        ("1/2", "0.5", False), ("5e1", "50", False), ("٥", "5", False), (".5", "0.5", False), ("5 or 6", "5", False),
        ("-0", "0", True), ("9007199254740993", "9007199254740992", False),
    ],
)  # fmt: skip
def test_number_decisions(answer, gold, verdict):
    assert gsm8k.verify(answer, gold) is verdict


def question_rows(count):
    return [
        {"question": f"What is {i} plus one?", "answer": f"{i}+1=<<{i}+1={i + 1}>>{i + 1}\n#### {i + 1}"}
        for i in range(count)
    ]


def test_the_hub_train_rows_are_train_or_validation_and_none_is_lost(monkeypatch):
    """The hub itself cannot be reached from a test; its rows are stood in for, the division is real."""
    monkeypatch.setattr(gsm8k, "_hub", lambda split: question_rows(400 if split == "train" else 7))
    text = {s: {p.prompt[0]["content"] for p in gsm8k.load(s, None, 0)} for s in ("train", "validation", "test")}
    assert len(text["train"]) + len(text["validation"]) == 400
    assert not text["train"] & text["validation"]
    assert 20 <= len(text["validation"]) <= 60  # 40 expected of 400
    assert len(text["test"]) == 7  # the official test split, whole


def test_white_space_does_not_move_a_question_to_another_split(tmp_path):
    rows = question_rows(60)
    spaced = [{**r, "question": r["question"].replace(" ", "  ") + "\n"} for r in rows]
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    one.write_text("\n".join(map(json.dumps, rows)))
    two.write_text("\n".join(map(json.dumps, spaced)))
    for split in ("train", "validation", "test"):
        assert [p.id for p in gsm8k.load(split, None, 0, str(one))] == [
            p.id for p in gsm8k.load(split, None, 0, str(two))
        ]


def test_a_solution_has_no_calculator_marks(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "?", "answer": "48/2 = <<48/2=24>>24 clips.\n#### 24"}))
    [problem] = gsm8k.load("all", None, 0, str(path))
    assert gsm8k.solution(problem) == "48/2 = 24 clips."
    assert problem.answer == "24"


@pytest.mark.parametrize(
    ("content_", "message"),
    [
        (b"[1]\n", "row 1: expected 'question'"),
        (
            b'{"question": "a\xe2\x80\xa8b", "answer": "#### 1"}\n{"question": 3, "answer": "#### 1"}\n',
            "row 2: expected",
        ),
        (b'{"question": "\xff"}\n', "line 1 is not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"{}{}\n", "line 1 is not JSON: Extra data"),
    ],
)
def test_bad_rows_are_named(tmp_path, content_, message):
    """The second file holds a line separator (U+2028) inside a string: that ends no line."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content_)
    with pytest.raises(DataError) as caught:
        gsm8k.load("train", None, 0, str(path))
    assert message in str(caught.value)


def test_a_prefix_of_the_real_rows_is_a_prefix_of_the_split(gsm8k_rows):
    assert gsm8k.load("train", 40, 0, str(gsm8k_rows))[:10] == gsm8k.load("train", 10, 0, str(gsm8k_rows))
    assert all(gsm8k._value(p.answer) is not None for p in gsm8k.load("train", None, 0, str(gsm8k_rows)))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("18", True), ("18 dollars", True), ("\\boxed{18}", True), ("#### 18", True), ("$18$", True), ("**18**", True), ("$18.", True),
        ("The answer is 18.", True), ("9 * 2 = 18", True), ("17", False), ("18 or 17", False), ("none", False), ("18.0", False),
    ],
)  # fmt: skip
def test_what_published_numbers_accept(answer, verdict):
    """lm-evaluation-harness, gsm8k, flexible-extract: the last number, compared as text."""
    assert gsm8k.verify(answer, {"text": "18", "verifier": "published"}) is verdict


def test_published_is_asked_for_and_strict_stays_the_default(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, question_rows(40))))
    strict, published = f"gsm8k(path={str(path)!r})", f"gsm8k(path={str(path)!r}, verifier='published')"
    assert {type(p.answer) for p in load_problems(strict, "all", None, 0)} == {str}
    assert {p.answer["verifier"] for p in load_problems(published, "all", None, 0)} == {"published"}
    assert check(published, ("all",), 40, 0) == []
    with pytest.raises(DataError, match="verifier must be one of strict, math, published, found 'lenient'"):
        load_problems(f"gsm8k(path={str(path)!r}, verifier='lenient')", "all", None, 0)
    few = load_problems(strict, "test", None, 0)
    assert "The file has 40 rows" in measured_warnings(strict, "test", 120, few)[0]


def test_all_is_a_split_of_files_only():
    with pytest.raises(DataError, match="of a local file also all"):
        gsm8k.load("all", 1, 0)
