"""Evaluations keep their texts beside the JSON, and texts of another evaluation are refused."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

import rlvr
from rlvr.commands.main import main
from rlvr.core.errors import DataError
from rlvr.runs.eval_file import load_eval, save_eval
from rlvr.runs.texts_file import texts_path
from tests.fake_run import evaluation, sample

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2 = ?"}]


def with_texts(*texts: str) -> dict:
    problems = [
        {"id": f"p{i}", "task": "t", "gold": "4", "messages": CHAT, "samples": [sample(text=t), sample(text=t + "!")]}
        for i, t in enumerate(texts)
    ]
    return evaluation(problems)


def test_texts_come_back_as_they_were_and_the_json_holds_none(tmp_path):
    path = tmp_path / "a.json"
    record = with_texts("4", "vier \U0001f600 \x00\n", "")
    save_eval(record, path)
    assert "vier" not in path.read_text()
    stored = pq.read_table(texts_path(path)).to_pylist()
    assert [(row["id"], row["sample"], row["prompt"], row["text"]) for row in stored[:2]] == [
        ("p0", 0, "2 + 2 = ?", "4"),
        ("p0", 1, "2 + 2 = ?", "4!"),
    ]
    read = load_eval(path, texts=True)
    read.pop("texts_sha256")
    assert read == record
    assert "text" not in load_eval(path)["problems"][0]["samples"][0]


def test_texts_of_another_evaluation_are_refused(tmp_path):
    mine, other = tmp_path / "mine.json", tmp_path / "other.json"
    save_eval(with_texts("4", "5"), mine)
    for texts in (["4", "6"], ["5", "4"], ["4"]):  # another content, another order, another count
        save_eval(with_texts(*texts), other)
        shutil.copy(texts_path(other), texts_path(mine))
        assert load_eval(mine)  # who reads no texts is not troubled
        with pytest.raises(DataError, match=r"mine\.texts\.parquet' do not belong to .*mine\.json'"):
            load_eval(mine, texts=True)


def test_a_record_whose_samples_moved_no_longer_fits_its_texts(tmp_path):
    path = tmp_path / "a.json"
    save_eval(with_texts("4", "5"), path)
    record = json.loads(path.read_text())
    record["problems"].reverse()
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="do not belong to"):
        load_eval(path, texts=True)


def test_missing_and_broken_texts_are_told_apart(tmp_path):
    path = tmp_path / "a.json"
    save_eval(with_texts("4"), path)
    texts_path(path).write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="cannot be read"):
        load_eval(path, texts=True)
    texts_path(path).unlink()
    with pytest.raises(DataError, match="is not there"):
        load_eval(path, texts=True)
    save_eval(evaluation([]), path)
    with pytest.raises(DataError, match="holds no texts"):
        load_eval(path, texts=True)


def test_an_evaluation_without_texts_removes_those_that_stood_there(tmp_path):
    path = tmp_path / "a.json"
    save_eval(with_texts("4"), path)
    save_eval(evaluation([{"id": "a", "task": "t", "gold": "4", "samples": [sample()]}]), path)
    assert not texts_path(path).exists()


def test_the_command_keeps_texts_unless_told_not_to(tmp_path, cache):
    flags = ["--set", "arithmetic(levels=[0])", "--size", "3", "--n", "2", "--max_completion_length", "6"]
    out = tmp_path / "e.json"
    assert main(["evaluate", "tiny", *flags, "--out", str(out)]) == 0
    rows = rlvr.Evaluation(out).texts
    assert len(rows) == 6
    assert json.loads(rows["messages"][0])[-1] == {"role": "user", "content": rows["prompt"][0]}
    assert main(["evaluate", "tiny", *flags, "--texts", "none", "--out", str(out)]) == 0
    assert not texts_path(out).exists()
    with pytest.raises(DataError, match="--texts none"):
        _ = rlvr.Evaluation(out).texts


def test_an_evaluation_in_memory_saves_and_shows_its_texts(tmp_path, cache):
    result = rlvr.evaluate("tiny", "arithmetic(levels=[0])", size=2, n=2, max_completion_length=6)
    again = rlvr.Evaluation(result.save(tmp_path / "e.json"))
    assert again.texts.equals(result.texts)
    copy = rlvr.Evaluation(again.save(tmp_path / "copy.json"))  # texts travel with it
    assert copy.texts.equals(result.texts)
