"""A stored evaluation is checked when it is read: the message names the file, the problem, the field and the value."""

import copy
import json

import pytest

from rlvr.core.errors import DataError
from rlvr.runs.eval_file import load_eval, save_eval
from tests.conftest import REPO
from tests.fake_run import counted_evaluation, drawn_evaluation

GOOD = counted_evaluation([[True, False, None], [True, True, False]])


def set_in(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(record):
        for key in keys:
            record = record[key]
        record[last] = value

    return change


def drop(*keys):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        del record[keys[-1]]

    return change


P, S = ("problems", 1), ("problems", 1, "samples", 2)
WRONG = {
    "the same id twice": (set_in(*P, "id", "p0"), "problem 'p0': this id stands there twice"),
    "c says more": (set_in(*P, "c", 3), "problem 'p1': c is 3, but its samples make it 2"),
    "c says less": (set_in(*P, "c", 0), "problem 'p1': c is 0, but its samples make it 2"),
    "c is text": (set_in(*P, "c", "2"), "problem 'p1': c is '2', but its samples make it 2"),
    "n says more": (set_in(*P, "n", 4), "problem 'p1': n is 4, but its samples make it 3"),
    "a percentage": (set_in(*S, "confidence", "90%"), "'p1', sample 3: confidence must be a number .*, found '90%'"),
    "above one": (set_in(*S, "confidence", 1.7), "sample 3: confidence must be a number from 0 to 1.*, found 1.7"),
    "infinite": (set_in(*S, "confidence", float("inf")), "sample 3: confidence must be .*, found inf"),
    "not a number": (set_in(*S, "confidence", float("nan")), "sample 3: confidence must be .*, found nan"),
    "a truth as confidence": (set_in(*S, "confidence", True), "sample 3: confidence must be .*, found True"),
    "a verdict as text": (set_in(*S, "correct", "true"), "sample 3: correct must be true, false or null, found 'true'"),
    "a verdict of two": (set_in(*S, "correct", 2), "sample 3: correct must be true, false or null, found 2"),
    "no verdict": (drop(*S, "correct"), "problem 'p1', sample 3 has no 'correct'"),
    "no answer": (drop(*S, "answer"), "problem 'p1', sample 3 has no 'answer'"),
    "an answer of lists": (set_in(*S, "answer", ["4"]), r"sample 3: answer must be text or null, found \['4'\]"),
    "tokens as text": (set_in(*S, "tokens", "9"), "sample 3: tokens must be a whole number .*, found '9'"),
    "tokens beyond any float": (set_in(*S, "tokens", 10**400), "sample 3: tokens must be a whole number"),
    "half a token": (set_in(*S, "tokens", 2.5), "sample 3: tokens must be a whole number .*, found 2.5"),
    "no id": (drop(*P, "id"), "problem 2 has no 'id'"),
    "no gold": (drop(*P, "gold"), "problem 2 has no 'gold'"),
    "no task": (drop(*P, "task"), "problem 2 has no 'task'"),
    "no samples": (drop(*P, "samples"), "problem 2 has no 'samples'"),
    "samples as a number": (set_in(*P, "samples", 3), "problem 2: samples must be a list, found 3"),
    "a sample of text": (set_in(*S, "right"), "problem 'p1', sample 3 is 'right', not an object"),
    "an id that is a list": (set_in(*P, "id", [1]), r"problem 2: id must be text, found \[1\]"),
    "problems as an object": (set_in("problems", {}), "not an evaluation of schema 1"),
    "a problem of text": (set_in(*P, "x"), "problem 2 is 'x', not an object"),
    "another schema": (set_in("schema", 2), "not an evaluation of schema 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_malformed_evaluation_is_refused_with_file_problem_and_value(case, tmp_path, cli):
    change, message = WRONG[case]
    record = copy.deepcopy(GOOD)
    change(record)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match=rf"mine\.json'.*{message}"):
        load_eval(path)
    for command in (["decide", "utility"], ["decide", "vote"]):
        done = cli(*command, path)
        assert done.code == 2
        assert "mine.json" in done.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b"", b"[1]", b"null"])
def test_what_is_no_record_at_all_is_a_message_too(content, tmp_path):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.json"):
        load_eval(tmp_path / "mine.json")


def test_good_ones_are_read_as_they_were_written(tmp_path):
    for record in (GOOD, drawn_evaluation(1, 0.2, 0.5), counted_evaluation([])):
        save_eval(record, tmp_path / "e.json")
        assert load_eval(tmp_path / "e.json") == record
    for path in (REPO / "docs" / "findings" / "calibration_smollm2").glob("*.json"):
        record = json.loads(path.read_text())
        if "problems" in record:
            assert load_eval(path) == record


def test_a_reader_that_needs_less_asks_for_less(tmp_path):
    """Pass rates need ids and verdicts only; a field that is there is checked all the same."""
    path = tmp_path / "e.json"
    path.write_text(json.dumps({"schema": 1, "problems": [{"id": "a", "samples": [{"correct": True}]}]}))
    assert len(load_eval(path, needs=("id", "correct"))["problems"]) == 1
    with pytest.raises(DataError, match="has no 'task'"):
        load_eval(path)
    path.write_text(json.dumps({"schema": 1, "problems": [{"id": "a", "c": 0, "samples": [{"correct": True}]}]}))
    with pytest.raises(DataError, match="c is 0"):
        load_eval(path, needs=("id", "correct"))
