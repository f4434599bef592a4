"""JSON that others can read: no NaN goes into a file, and none is taken out of a row."""

import json

import pytest

from rlvr.core.errors import DataError
from rlvr.problems.sets import load_problems
from rlvr.runs.eval_file import save_eval


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_row_whose_answer_is_no_number_of_json_is_refused_by_its_line(tmp_path, value):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "1 + 1?", "answer": 2}\n' * 2 + f'{{"prompt": "?", "answer": {value}}}\n')
    with pytest.raises(DataError, match="line 3, column 'answer': expected a number, found (nan|-?inf)"):
        load_problems(f"jsonl(path='{path}')", "train", None, 0)


def test_an_evaluation_with_numbers_that_are_not_finite_is_json_with_null(tmp_path):
    path = tmp_path / "e.json"
    save_eval({"schema": 1, "problems": [{"samples": [{"logp": float("nan"), "é": [1.5, float("-inf")]}]}]}, path)

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert found["problems"][0]["samples"] == [{"logp": None, "é": [1.5, None]}]
