"""Sample logs of other tools become evaluations, and evaluations go out as JSONL, CSV and LaTeX."""

import csv
import importlib.util
import json
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rlvr
from rlvr.commands.main import main
from rlvr.core.errors import DataError, ModelError, SpecError
from rlvr.runs.eval_file import load_eval
from tests.conftest import REPO
from tests.fake_run import make_eval

LOGS = REPO / "tests" / "stored_logs"
SUMS = LOGS / "samples_sums_2026-11-24T12-55-14.972394.jsonl"


def verdicts(evaluation):
    return {p["id"]: [s["correct"] for s in p["samples"]] for p in evaluation.record["problems"]}


def test_lm_eval_verdicts_stand_and_texts_can_be_judged_anew(tmp_path):
    out = tmp_path / "e.json"
    assert main(["import", str(SUMS), "--filter", "strict-match", "--out", str(out)]) == 0
    found = rlvr.Evaluation(out)
    assert verdicts(found) == {"0": [False], "1": [True], "2": [False]}
    assert found.texts["prompt"][1] == "Q: What is 3 + 4?\nA:"
    assert [p["gold"] for p in found.record["problems"]] == ["3", "7", "10"]
    anew = rlvr.import_log(SUMS, verifier="number", answer_format="last_number")
    assert verdicts(anew)["1"] == [True]
    with pytest.raises(SpecError, match="2 of filter.*strict-match, flexible-extract.*--filter NAME"):
        rlvr.import_log(SUMS)
    with pytest.raises(SpecError, match="Did you mean 'strict-match'"):
        rlvr.import_log(SUMS, filter="strict")


def test_one_score_for_several_completions_is_no_verdict():
    repeats = LOGS / "samples_repeats_2026-11-24T12-55-14.972394.jsonl"
    with pytest.raises(SpecError, match="several completions of a problem and one score"):
        rlvr.import_log(repeats)
    found = rlvr.import_log(repeats, verifier="number", answer_format="last_number")
    assert (len(found), found.n) == (3, 2)


def test_log_likelihoods_are_no_completions():
    with pytest.raises(DataError, match="line 1: its responses are no texts"):
        rlvr.import_log(LOGS / "samples_choice_2026-11-24T12-55-14.972394.jsonl")


def test_trl_completions_are_grouped_by_prompt_and_judged_by_the_reward_that_is_named():
    found = rlvr.import_log(LOGS / "completions_00001.parquet")  # it has one reward only
    assert [len(v) for v in verdicts(found).values()] == [2, 2]
    assert found.texts["prompt"].unique().tolist() == ["What is 0 + 1?", "What is 1 + 1?"]
    assert found.record["source"] == "trl"
    with pytest.raises(SpecError, match="No metric 'accuracy'. Known: length"):
        rlvr.import_log(LOGS / "completions_00001.parquet", metric="accuracy")


@pytest.mark.parametrize("new", [True, False])
def test_lighteval_details_of_both_forms(tmp_path, new):
    """Columns as its source names them: before 0.10 the fields of one sample, since then doc, model_response, metric."""
    path = tmp_path / "details_sums.parquet"
    rows = []
    for a, text, right in ((1, "2", 1), (2, "9", 0)):
        if new:
            doc = {"query": f"{a}+1?", "choices": [str(a + 1)], "gold_index": [0], "id": str(a), "task_name": "sums"}
            rows.append({"doc": doc, "model_response": {"text": [text]}, "metric": {"em": right}})
        else:
            rows.append(
                {"full_prompt": f"{a}+1?", "predictions": [text], "gold": [str(a + 1)], "metrics": {"em": right}}
            )
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = rlvr.import_log(path)
    assert [v for [v] in verdicts(found).values()] == [True, False]
    assert verdicts(rlvr.import_log(path, verifier="exact", answer_format="last_number")) == verdicts(found)


def test_inspect_logs_have_an_epoch_for_each_completion():
    if importlib.util.find_spec("inspect_ai") is None:
        with pytest.raises(ModelError, match=r"pip install 'rlvr\[inspect\]'"):
            rlvr.import_log(LOGS / "inspect.eval")
        warnings.warn("inspect logs were not read: inspect-ai is not installed", stacklevel=1)
        pytest.skip("SKIPPED: inspect-ai is not installed: pip install 'rlvr[inspect]'")
    found = rlvr.import_log(LOGS / "inspect.eval")
    assert verdicts(found) == {"s0": [True, False], "s1": [False, False], "s2": [False, False]}
    assert found.record["temperature"] == 1.0
    assert found.record["problems"][0]["samples"][0]["tokens"] == 3
    anew = rlvr.import_log(LOGS / "inspect.eval", verifier="number", answer_format="last_number")
    assert verdicts(anew) == verdicts(found)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 1}, "is no log of lm_eval, trl, lighteval, inspect: its columns are 'a'"),
        ({"doc_id": 1, "resps": [["x"]]}, "line 1 has no 'target'"),
        ({"step": 1, "prompt": "p", "completion": "c", "advantage": 0.0, "r": 0.5}, "the score 0.5 is neither right"),
    ],
)
def test_what_is_no_such_log_is_named(tmp_path, row, message):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=message):
        rlvr.import_log(path)
    with pytest.raises(SpecError, match="Did you mean 'lm_eval'"):
        rlvr.import_log(path, kind="lm-eval")


def test_exported_samples_are_read_back_as_the_same_evaluation(tmp_path):
    first = rlvr.import_log(SUMS, filter="strict-match")
    path = first.save(tmp_path / "e.json")
    assert main(["export", str(path), "--out", str(tmp_path / "e.jsonl")]) == 0
    again = rlvr.score(tmp_path / "e.jsonl")
    assert verdicts(again) == verdicts(first)
    assert again.texts[["id", "text", "prompt"]].equals(first.texts[["id", "text", "prompt"]])
    assert main(["export", str(path), "--out", str(tmp_path / "e.csv")]) == 0
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["correct"] for row in rows] == ["False", "True", "False"]
    assert [row["completion"] for row in rows] == first.texts["text"].tolist()


def test_tables_go_out_as_latex(tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 1)):
        rlvr.Evaluation(make_eval(seed=seed)).save(tmp_path / f"{name}.json")
    out = tmp_path / "t.tex"
    assert main(["export", str(tmp_path / "a.json"), "--out", str(out)]) == 0
    assert r"pass@1 & " in out.read_text()
    flags = ["--against", str(tmp_path / "b.json")]
    assert main(["export", str(tmp_path / "a.json"), "--out", str(out), *flags]) == 0
    text = out.read_text()
    assert text.startswith(r"\begin{tabular}{llllll}")
    assert "paired difference" in text
    assert main(["export", str(tmp_path / "a.json"), "--out", str(tmp_path / "x.csv"), *flags]) == 2
    assert main(["export", str(tmp_path / "a.json"), "--out", str(tmp_path / "x.xml")]) == 2
    assert load_eval(tmp_path / "a.json")
