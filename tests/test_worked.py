"""Worked rows: read with the line of every mistake, written whole, turned into lessons of the right form."""

import json

import pytest

from rlvr.core.errors import DataError
from rlvr.core.parse import parse
from rlvr.problems.worked import lessons, read_rows, write_rows

TAGS = ("think", "answer", "confidence")


def test_rows_go_round_with_their_other_columns(tmp_path):
    rows = [
        {"id": "a", "prompt": "1+1?", "completion": "é\u2028", "level": 3},
        {"id": "2", "prompt": "2?", "completion": "x"},
    ]
    write_rows(rows, tmp_path / "r.jsonl")
    assert read_rows(tmp_path / "r.jsonl") == rows


def test_a_row_without_an_id_has_its_line_number(tmp_path):
    (tmp_path / "r.jsonl").write_text('\n{"prompt": "1?"}\n{"id": 7, "prompt": [{"role": "user", "content": "2?"}]}\n')
    assert [row["id"] for row in read_rows(tmp_path / "r.jsonl")] == ["2", "7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 holds a list, not an object"),
        ('{"completion": "x"}', "line 1, column 'prompt': expected a text or chat messages, found None"),
        ('{"prompt": "  "}', "found '  '"),
        ('{"prompt": [{"role": "user"}]}', "expected a text or chat messages"),
        ('{"prompt": []}', "expected a text or chat messages"),
        ('{"prompt": "a", "id": 2}\n{"prompt": "b"}', "line 2: the id '2' was there before"),
        ("\n", "holds no rows"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "r.jsonl")
    assert message in str(caught.value)


def test_no_file():
    with pytest.raises(DataError, match="No file 'nowhere.jsonl'"):
        read_rows("nowhere.jsonl")


def test_lessons_add_a_random_confidence_only_where_none_stands():
    rows = [{"id": str(i), "prompt": "q", "completion": "<think>a</think><answer>1</answer>"} for i in range(50)]
    rows.append(
        {"id": "own", "prompt": "q", "completion": "<think>a</think><answer>1</answer><confidence>0.37</confidence>"}
    )
    texts = [text for _, text in lessons(rows, TAGS, seed=0)]
    stated = [parse(text, TAGS).confidence for text in texts]
    assert stated[-1] == 0.37
    assert len(set(stated[:-1])) > 5
    assert texts == [text for _, text in lessons(rows, TAGS, seed=0)]
    assert texts != [text for _, text in lessons(rows, TAGS, seed=1)]


@pytest.mark.parametrize("completion", ["4", "<answer>4</answer>", "<think></think><answer></answer>", None, 4, " "])
def test_a_lesson_of_another_form_is_refused(completion):
    with pytest.raises(DataError, match="Worked row '1', column 'completion'"):
        lessons([{"id": "1", "prompt": "q", "completion": completion}], TAGS, 0)


def test_lines_hold_any_text(tmp_path):
    """A line separator of Unicode inside a text does not end a row."""
    (tmp_path / "r.jsonl").write_text(json.dumps({"prompt": "a\u2028b\x0b"}, ensure_ascii=False), encoding="utf-8")
    assert read_rows(tmp_path / "r.jsonl")[0]["prompt"] == "a\u2028b\x0b"
