"""Completions made elsewhere become the evaluation that sampling gives; what cannot be read is named by its row."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rlvr
from rlvr.commands.main import main
from rlvr.core.errors import DataError, SpecError
from rlvr.measure.stored.rows import column_map
from rlvr.runs.eval_file import load_eval

SET = "arithmetic(levels=[0])"


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answered(right: list[list[bool]], seed: int = 0) -> list[dict]:
    """Rows that answer the first problems of SET, right or wrong as told, with a stated confidence."""
    problems = rlvr.load_problems(SET, "test", len(right), seed)
    return [
        {
            "id": p.id,
            "completion": f"<think>.</think><answer>{p.answer if ok else 99}</answer><confidence>0.{3 + ok}</confidence>",
        }
        for p, verdicts in zip(problems, right, strict=True)
        for ok in verdicts
    ]


VERDICTS = [[True, False, True, True], [False, False, False, True], [True, True, True, True]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_rows_scored_by_a_set_are_the_evaluation_that_sampling_gives(tmp_path, suffix, capsys):
    file, out = write(tmp_path / f"mine{suffix}", answered(VERDICTS)), tmp_path / "e.json"
    assert main(["score", str(file), "--set", SET, "--size", "3", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "12 samples, of which 12 have a verdict and a confidence" in printed
    record = load_eval(out)
    assert [[s["correct"] for s in p["samples"]] for p in record["problems"]] == VERDICTS
    assert {s["confidence"] for p in record["problems"] for s in p["samples"]} == {0.3, 0.4}
    assert (record["spec"], record["n"], record["model"]) == (SET, 4, "mine")
    found = rlvr.Evaluation(out)
    assert found.pass_at_k([1])[1].value == pytest.approx(8 / 12)
    assert found.pass_at_k([2])[2].value == pytest.approx((1 + 0.5 + 1) / 3)  # 1 - C(n-c, 2) / C(n, 2) by hand
    for command in (["decide", "utility"], ["decide", "vote"]):
        assert main([*command, str(out)]) == 0


def test_python_and_the_command_give_the_same(tmp_path):
    rows = answered(VERDICTS)
    file, out = write(tmp_path / "completions.jsonl", rows), tmp_path / "e.json"
    assert main(["score", str(file), "--set", SET, "--size", "3", "--out", str(out)]) == 0
    for source in (file, str(file), rows):
        assert rlvr.score(source, SET, size=3).record["problems"] == load_eval(out)["problems"]


def test_a_prompt_names_the_problem_as_well_as_an_id():
    rows, problems = answered(VERDICTS), rlvr.load_problems(SET, "test", 3, 0)
    by_id = {p.id: p for p in problems}
    for prompt in (lambda p: p.prompt, lambda p: f"  {p.prompt[-1]['content']}\n"):
        asked = [{"prompt": prompt(by_id[row["id"]]), "completion": row["completion"]} for row in rows]
        assert rlvr.score(asked, SET, size=3).record["problems"] == rlvr.score(rows, SET, size=3).record["problems"]
    with pytest.raises(DataError, match="row 1: no problem of .* has the prompt 'What is love"):
        rlvr.score([{"prompt": "What is love?", "completion": "4"}], SET, size=3)


def test_rows_without_a_set_are_judged_by_their_gold_column():
    rows = [
        {"q": "half?", "out": "<answer>1/2</answer>", "target": "0.5"},
        {"q": "half?", "out": "<answer>0.6</answer>", "target": "0.5"},
        {"q": "ten?", "out": "so <answer>10</answer>", "target": 10},
        {"q": "ten?", "out": "10", "target": 10},
    ]
    columns = {"prompt": "q", "completion": "out", "gold": "target"}
    found = rlvr.score(rows, verifier="math", columns=columns, tags=["answer"])
    assert [[s["correct"] for s in p["samples"]] for p in found.record["problems"]] == [[True, False], [True, False]]
    assert [p["gold"] for p in found.record["problems"]] == ["0.5", "10"]
    number = rlvr.score(rows, verifier="number", columns=columns, tags=["answer"])
    assert [p["c"] for p in number.record["problems"]] == [0, 1]
    assert set(number.compare(found)) >= {"pass@1", "pass@2"}  # another verifier, the same problems
    with pytest.raises(SpecError, match="Did you mean 'number'"):
        rlvr.score(rows, verifier="numbr", columns=columns)
    with pytest.raises(DataError, match="row 1 has no gold answer"):
        rlvr.score(rows, verifier="math", columns={"prompt": "q", "completion": "out"})


def test_what_a_row_says_wins_over_what_its_text_says():
    """An answer, a confidence, a length and a log-probability that stand in columns are taken as they are."""
    problem = rlvr.load_problems(SET, "test", 1, 0)[0]
    row = {"id": problem.id, "completion": "no tag", "answer": int(problem.answer), "confidence": 0.25, "logp": -2.0,
           "tokens": 7, "finish": "length"}  # fmt: skip
    [sample] = rlvr.score([row], SET, size=1, columns={"truncated": "finish"}).record["problems"][0]["samples"]
    assert sample == {
        "correct": True, "confidence": 0.25, "answer": problem.answer, "tokens": 7, "logp": -2.0, "format_ok": None,
        "truncated": True,
    }  # fmt: skip
    bare = rlvr.score([{k: v for k, v in row.items() if k in ("id", "completion")}], SET, size=1)
    [sample] = bare.record["problems"][0]["samples"]
    assert [sample[k] for k in ("correct", "confidence", "tokens", "logp", "truncated")] == [
        False,
        None,
        None,
        None,
        None,
    ]
    assert "n/a" in str(bare.metrics()["tokens"]) or bare.metrics()["tokens"].value != bare.metrics()["tokens"].value


def test_verdicts_that_rows_bring_are_taken():
    rows = [{"id": i, "completion": "x", "correct": i < 2, "confidence": 0.5} for i in range(4)]
    found = rlvr.score(rows)
    assert (found.pass_at_k()[1].value, found.calibration()["brier"].value) == (0.5, 0.25)
    with pytest.raises(SpecError, match="Nothing says which completions are right"):
        rlvr.score([{"id": 1, "completion": "x"}])


def test_a_list_is_several_completions_of_one_problem():
    problem = rlvr.load_problems(SET, "test", 1, 0)[0]
    right = f"<answer>{problem.answer}</answer>"
    row = {"id": problem.id, "completion": [right, "<answer>x</answer>", right], "confidence": [0.9, None, 0.7]}
    found = rlvr.score([row], SET, size=1, tags=["answer"]).record["problems"][0]
    assert [s["correct"] for s in found["samples"]] == [True, False, True]
    assert [s["confidence"] for s in found["samples"]] == [0.9, None, 0.7]
    with pytest.raises(DataError, match="row 1, column 'confidence': expected a list of 3"):
        rlvr.score([{**row, "confidence": 0.5}], SET, size=1)


GOOD = {"id": "a", "completion": "x", "gold": "1"}
BAD = {
    "no completion": ({"id": "a", "output": "x"}, r"has no column 'completion'; it has 'id', 'output'\. Say which"),
    "null": (
        {**GOOD, "completion": None},
        "column 'completion': expected a text, or a list of them, found None.*empty",
    ),
    "a number": ({**GOOD, "completion": 3}, "column 'completion': expected a text, or a list of them, found 3"),
    "half a character": ({**GOOD, "completion": "\ud800"}, "column 'completion': expected a text"),
    "nobody's": ({"completion": "x"}, "has neither an id nor a prompt"),
    "a percentage": ({**GOOD, "confidence": 90}, "column 'confidence': expected a probability from 0 to 1, found 90"),
    "a truth": ({**GOOD, "confidence": True}, "column 'confidence': expected a probability"),
    "a gain": ({**GOOD, "logp": 0.5}, "column 'logp': expected a log-probability of at most 0, found 0.5"),
    "half a token": ({**GOOD, "tokens": 1.5}, "column 'tokens': expected a whole number"),
    "another gold": ({**GOOD, "gold": "2"}, "'a' has another gold answer here than in .*line 1"),
    "another prompt": ({**GOOD, "prompt": "?"}, "'a' has another prompt here"),
    "infinite gold": ({**GOOD, "gold": float("inf")}, "column 'gold': expected a text or a finite number"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named(case, tmp_path):
    row, message = BAD[case]
    with pytest.raises(DataError, match=rf"mine\.jsonl, line 2.*{message}"):
        rlvr.score(write(tmp_path / "mine.jsonl", [GOOD, row]), verifier="exact")


def test_a_bad_line_a_bad_id_and_an_unknown_field_are_named(tmp_path, capsys):
    (tmp_path / "mine.jsonl").write_text('{"id": 1, "completion": "x"}\n\nnot JSON\n')
    with pytest.raises(DataError, match="line 3 is not JSON"):
        rlvr.score(tmp_path / "mine.jsonl", verifier="exact")
    with pytest.raises(DataError, match=r"row 1: arithmetic\(levels=\[0\]\) has no problem 'zzz'.*--split all"):
        rlvr.score([{**GOOD, "id": "zzz"}], SET, size=3)
    with pytest.raises(SpecError, match="Did you mean 'completion'"):
        column_map(["completions=x"])
    assert main(["score", str(tmp_path / "none.jsonl"), "--verifier", "exact"]) == 2
    assert "none.jsonl" in capsys.readouterr().err
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no completions"):
        rlvr.score(tmp_path / "empty.jsonl", verifier="exact")


def test_unequal_counts_end_pass_at_k_at_the_smallest_and_are_said(capsys):
    found = rlvr.score(answered([[True, False, False], [True] * 8, [False] * 8]), SET, size=3)
    assert found.n == 3
    assert [name for name in found.metrics() if name.startswith("pass@")] == ["pass@1", "pass@2"]
    assert found.pass_at_k()[1].value == pytest.approx(
        (1 / 3 + 1 + 0) / 3
    )  # a problem counts once, however often sampled
    said = capsys.readouterr().err
    assert "from 3 to 8 completions. pass@k goes up to k = 3" in said


def test_problems_without_a_completion_are_said(capsys):
    rlvr.score(answered(VERDICTS), SET, size=5)
    assert (
        "2 of the 5 problems of arithmetic(levels=[0]) have no completion and are left out" in capsys.readouterr().err
    )


def test_completions_without_the_form_are_not_a_silent_zero(capsys):
    rlvr.score([{"id": "a", "completion": "The answer is 4.", "gold": "4"}], verifier="number")
    assert "1 of 1 completions have no answer in the form that is read" in capsys.readouterr().err
    found = rlvr.score(
        [{"id": "a", "completion": "The answer is 4.", "gold": "4"}], verifier="number", answer_format="last_number"
    )
    assert (found.record["problems"][0]["c"], found.record["answer_format"]) == (1, "last_number")
    assert (
        rlvr.score(found, verifier="exact").record["problems"][0]["c"] == 1
    )  # read again in the form that it was read in


def test_two_files_compare_paired(tmp_path, capsys):
    a = write(tmp_path / "a.jsonl", answered([[True, False]] * 12))
    b = write(tmp_path / "b.jsonl", answered([[True, True]] * 12)[::-1])  # in another order
    out = tmp_path / "b.json"
    flags = ["--set", SET, "--size", "12", "--out", str(out)]
    assert main(["score", str(b), *flags, "--against", str(a)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("pass@1"))
    assert "+0.500 [+0.500, +0.500]" in row
    assert main(["score", str(a), "--set", SET, "--size", "12", "--out", str(out), "--against", str(out)]) == 0
    assert "-0.500 [-0.500, -0.500]" in capsys.readouterr().out


def test_a_stored_evaluation_is_judged_again_by_another_verifier(tmp_path, capsys):
    """As it was: the same verdicts. By another verifier, other tags or a set of other gold answers: other ones."""
    rows = [{"id": "a", "completion": "<answer>1/2</answer><confidence>0.5</confidence>", "gold": "0.5", "tokens": 4}]
    first = rlvr.score(rows, verifier="number", tags=["answer", "confidence"])
    path = first.save(tmp_path / "first.json")
    out = tmp_path / "again.json"
    assert main(["score", str(path), "--verifier", "math", "--against", str(path), "--out", str(out)]) == 0
    assert "+1.000" in capsys.readouterr().out
    again = load_eval(out, texts=True)["problems"][0]
    assert (again["c"], again["samples"][0]["tokens"], again["samples"][0]["confidence"]) == (1, 4, 0.5)
    assert rlvr.score(first, verifier="exact").record["problems"][0]["c"] == 0
    assert main(["score", str(path), "--verifier", "math", "--out", str(path)]) == 2  # would be lost
    with pytest.raises(SpecError, match="names no problem set"):
        rlvr.score(path)
    by_set = rlvr.score(answered(VERDICTS), SET, size=3)
    assert rlvr.score(by_set).record["problems"] == by_set.record["problems"]
    without = rlvr.score(rows, verifier="number", texts="none")
    with pytest.raises(DataError, match="holds no texts"):
        rlvr.score(without, verifier="math")


def test_a_sampled_evaluation_is_judged_again_as_it_was(tmp_path, cache):
    first = rlvr.evaluate("tiny", SET, size=3, n=2, max_completion_length=6)
    again = rlvr.score(first.save(tmp_path / "e.json"))
    assert again.record["problems"] == first.record["problems"]


def test_options_of_a_row_reach_the_verifier():
    rows = [{"id": 1, "completion": text, "gold": "B", "options": ["red", "blue"]} for text in ("blue", "(b)", "red")]
    found = rlvr.score(rows, verifier="choice", columns={"answer": "completion"})
    assert [s["correct"] for s in found.record["problems"][0]["samples"]] == [True, True, False]
