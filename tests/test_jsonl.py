"""A user's own file: hostile bytes, exact numbers, math answers under the time limit."""

import json

import pytest

from rlvr.config.settings import TrainConfig, parse_config
from rlvr.core import specs
from rlvr.core.errors import DataError
from rlvr.planning.resolve import plan
from rlvr.problems.sets import ProblemSet, load_problems, measured_warnings, overlap_warning
from rlvr.problems.verifier import Verifier

jsonl = specs.import_file("data", "jsonl")


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


@pytest.fixture
def held_out(tmp_path):
    """A file of 40 rows that its owner means to measure on, whole."""
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"What is {i} + 1?", "answer": i + 1}) + "\n" for i in range(40)))
    return str(path)


def test_every_row_of_a_file_can_be_measured(held_out):
    spec, whole = f"jsonl(path={held_out!r})", f"jsonl(path={held_out!r}, split='all')"
    assert len(load_problems(spec, "all", None, 0)) == 40
    assert load_problems(whole, "test", None, 0) == load_problems(spec, "all", None, 0)
    assert len(load_problems(whole, "test", 7, 0)) == 7
    assert ProblemSet.of(whole).split("test") == "all"


@pytest.mark.parametrize("size", [None, 20, 120])
def test_measuring_a_small_part_of_a_file_is_not_silent(held_out, size):
    """40 held-out rows, 3 of them measured, and not a word."""
    spec = f"jsonl(path={held_out!r})"
    problems = load_problems(spec, "test", size, 0)
    assert len(problems) < 10
    [warning] = measured_warnings(spec, "test", size, problems)
    assert f"{len(problems)} problems" in warning
    assert "The file has 40 rows" in warning
    assert f"jsonl(path={held_out!r}, split='all')" in warning


def test_what_was_asked_for_needs_no_warning_but_a_whole_file_does(held_out):
    spec, whole = f"jsonl(path={held_out!r})", f"jsonl(path={held_out!r}, split='all')"
    assert measured_warnings(spec, "test", 2, load_problems(spec, "test", 2, 0)) == []
    assert measured_warnings("arithmetic", "test", 120, load_problems("arithmetic", "test", 120, 0)) == []
    [warning] = measured_warnings(whole, "test", 120, load_problems(whole, "test", 120, 0))
    assert "every row is measured, so nothing may have been trained on this file" in warning


def warned(capsys, *argv):
    """What a training run says before it begins, up to the settings that it would use."""
    capsys.readouterr()
    plan(parse_config(TrainConfig, ("grpo", "tiny"), [*map(str, argv), "--train_size", "16"]))
    return capsys.readouterr().err


def test_training_and_measuring_on_the_same_rows_is_not_silent(held_out, capsys):
    whole = f"jsonl(path={held_out!r}, split='all', verifier='number')"
    told = warned(capsys, "--data", whole, "--num_generations", 4, "--per_device_train_batch_size", 16)
    assert "WARNING: 16 of the " in told
    assert "that are measured are trained on as well" in told
    parts = f"jsonl(path={held_out!r}, verifier='number')"
    told = warned(capsys, "--data", parts, "--num_generations", 4, "--per_device_train_batch_size", 16)
    assert "trained on as well" not in told
    assert "The file has 40 rows" in told
    assert "WARNING" not in warned(
        capsys, "--data", "arithmetic", "--num_generations", 4, "--per_device_train_batch_size", 16
    )


def test_overlap_is_found_by_the_prompt(held_out):
    problems = load_problems(f"jsonl(path={held_out!r})", "all", None, 0)
    assert overlap_warning("x", problems[:5], problems[5:]) is None
    assert "2 of the 5 problems of x" in overlap_warning("x", problems[:5], problems[3:])
