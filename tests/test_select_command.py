"""`rlvr select`: the files it writes, every row accounted for, bad input before a model is loaded, and the warm-up on it."""

import json
import re
from pathlib import Path

import pytest

import rlvr
from rlvr.config.settings import TrainConfig, parse_config
from rlvr.core.errors import DataError
from rlvr.models.load import build_tiny
from rlvr.problems.worked import read_rows, write_rows
from rlvr.runs.pass_rate import PassRate
from rlvr.training.supervised.warmup import warmup, warmup_settings
from tests.conftest import REPO
from tests.fake_run import full_run


def work(answer, steps="1+1=2"):
    return f"<think>{steps}</think><answer>{answer}</answer>"


def worked(n=12):
    rows = [
        {"id": f"r{i}", "prompt": f"What is {i} + 1?", "completion": work(i + 1, f"{i}+1={i + 1}"), "kind": "ab"[i % 2],
         "rewrites": {"instruction": {"prompt": f"{i} + 1?", "completion": work(i + 1)}, "both": {"completion": work(i)},
                      "response": {"completion": work(i + 1, "one more")}}}
        for i in range(n)
    ]  # fmt: skip
    rows.append({"id": "long", "prompt": "What is 1 + 1?", "completion": work(2, "1+1=2 " * 200), "kind": "a"})
    return rows


@pytest.fixture
def data(tmp_path):
    write_rows(worked(), tmp_path / "rows.jsonl")
    return tmp_path / "rows.jsonl"


def jsonl(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_student_accounts_for_every_row(data, tmp_path, cli):
    out = tmp_path / "kept.jsonl"
    # a random model finds every ratio near 1: a bound of 2 lets rows pass
    argv = ["select", "student", "--data", str(data), "--model", "tiny", "--out", str(out), "--threshold", "2"]
    done = cli(*argv)
    assert done.code == 0
    record = jsonl(tmp_path / "kept.scores.jsonl")
    assert [r["id"] for r in record] == [r["id"] for r in worked()]
    assert record[-1] == {"id": "long", "kept": None, "reason": "too long", "scores": {}, "too_long": ["original"]}
    assert all(set(r["scores"]) == {"original", "instruction", "both", "response"} for r in record[:-1])
    kept = read_rows(out)
    assert {r["id"]: r["candidate"] for r in kept} == {r["id"]: r["kept"] for r in record if r["kept"]}
    text = done.out
    assert "     1  too long" in text
    assert "     1  (candidates that exceed the context)" in text


def test_nothing_kept_is_an_error_and_the_scores_stay(data, tmp_path, cli):
    out = tmp_path / "kept.jsonl"
    argv = ["select", "student", "--data", str(data), "--model", "tiny", "--out", str(out), "--threshold", "0.001"]
    done = cli(*argv)
    assert done.code == 2
    assert "No row was kept" in done.err
    assert not out.exists()
    assert len(jsonl(tmp_path / "kept.scores.jsonl")) == 13


@pytest.mark.parametrize("score", ["prototype", "el2n"])
def test_prune_writes_rows_scores_and_plot(score, data, tmp_path, cli):
    out = tmp_path / "kept.jsonl"
    flags = ["--score", score, "--model", "tiny", "--label", "kind", "--clusters", "3", "--fraction", "0.5"]
    done = cli("select prune --data", data, "--out", out, *flags)
    assert done.code == 0
    record = jsonl(tmp_path / "kept.scores.jsonl")
    assert len(record) == 13 and sum(r["kept"] for r in record) == 6
    assert record[-1] == {"id": "long", "score": None, "kept": False, "reason": "too long"}
    kept = jsonl(out)
    assert [r["id"] for r in kept] == [r["id"] for r in record if r["kept"]]
    assert sorted(r["kind"] for r in kept) == ["a"] * 3 + ["b"] * 3
    assert "rewrites" in kept[0]  # rows are carried along whole
    assert (tmp_path / "kept.svg").read_text().startswith("<svg")
    assert "keep easy (auto)" in done.out  # 13 rows for 128 free parameters are scarce


def test_prune_by_pass_rate_takes_either_record(data, tmp_path, cli):
    PassRate({f"r{i}": (8, 8 if i < 6 else 1) for i in range(12)}).to_parquet(tmp_path / "difficulty.parquet")
    problems = [{"id": f"rows/r{i}", "samples": [{"correct": i < 6}] * 4} for i in range(12)]
    (tmp_path / "eval.json").write_text(json.dumps({"schema": 1, "problems": problems}))
    for attempts, n in (("difficulty.parquet", 8), ("eval.json", 4)):
        out = tmp_path / f"{attempts}.jsonl"
        flags = [
            "--score",
            "pass_rate",
            "--attempts",
            str(tmp_path / attempts),
            "--keep",
            "easy",
            "--random_share",
            "0",
        ]
        done = cli("select prune --data", data, "--out", out, "--fraction", "0.4", *flags)
        assert done.code == 0
        assert {r["id"] for r in jsonl(out)} <= {f"r{i}" for i in range(6)}
        record = jsonl(tmp_path / f"{attempts}.scores.jsonl")
        assert [r["attempts"] for r in record] == [n] * 12 + [0]
        assert all(r["interval"][0] < r["score"] < r["interval"][1] for r in record)


def test_the_example_of_the_page_prunes_by_a_run(tmp_path, monkeypatch):
    """docs/select.md, run as it stands; a Run, its directory, an Evaluation and its file say the same."""
    monkeypatch.chdir(tmp_path)
    full_run(tmp_path / "runs" / "demo", hostile=False)
    run = rlvr.Run("runs/demo")
    ids = sorted(PassRate.of(run).counts)
    assert PassRate.of(run) == PassRate.of("runs/demo") == PassRate.of(run.path / "difficulty.parquet")
    run.after.save("after.json")
    assert PassRate.of(run.after) == PassRate.of("after.json") == PassRate.of(run.after.contents) != PassRate.of(run)
    write_rows([{"id": i, "prompt": f"What is {i}?", "completion": work(1)} for i in ids], tmp_path / "rows.jsonl")
    (code,) = re.findall(r"```python\n(import rlvr\n.*?)```", (REPO / "docs/select.md").read_text("utf-8"), re.DOTALL)
    names: dict = {}
    exec(code, names)
    kept = read_rows(tmp_path / "kept.jsonl")
    assert names["rule"].keep_ == "window" and len(kept) == round(len(ids) / 2)
    assert sum(n for reason, n in names["reasons"].items() if reason.startswith("kept")) == len(kept)
    with pytest.raises(DataError, match="Expected an evaluation"):
        PassRate.of(3)
    with pytest.raises(DataError, match=r"has no difficulty.parquet"):
        PassRate.of(tmp_path)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("student", ["--model", "nowhere"], "No model 'nowhere'"),
        ("student", ["--model", "tiny", "--unimproved", "kepp"], "Did you mean 'keep'"),
        ("student", ["--model", "tiny", "--direct", "bar"], "Did you mean 'bare'"),
        ("student", ["--model", "tiny", "--tags", "anwser"], "Did you mean 'answer'"),
        ("prune", ["--score", "el2", "--model", "tiny"], "No score 'el2'. Did you mean 'el2n'"),
        ("prune", ["--score", "el2n", "--model", "tiny"], "Name their column with --label"),
        ("prune", ["--score", "el2n", "--model", "tiny", "--label", "knd"], "Row 'r0' has no column 'knd'"),
        ("prune", ["--score", "prototype"], "Name the model with --model"),
        ("prune", ["--score", "prototype", "--model", "tiny", "--keep", "hrad"], "Did you mean 'hard'"),
        ("prune", ["--score", "prototype", "--model", "tiny", "--fraction", "2"], "fraction lies in (0, 1]"),
        ("prune", ["--score", "pass_rate"], "--attempts RUN/difficulty.parquet"),
        ("prune", ["--score", "pass_rate", "--attempts", "none.parquet"], "none.parquet"),
    ],
)
def test_mistakes_are_named_before_a_model_is_loaded(command, flags, message, data, tmp_path, monkeypatch, cli):
    monkeypatch.setattr("rlvr.select.command.load_model", lambda spec: pytest.fail("a model was loaded"))
    done = cli("select", command, "--data", data, "--out", tmp_path / "k.jsonl", *flags)
    assert done.code == 2
    assert message in done.err


def test_the_data_are_never_overwritten(data, cli):
    done = cli("select student --data", data, "--model", "tiny", "--out", data)
    assert done.code == 2
    assert "is the data itself" in done.err


def test_a_record_that_knows_no_row(data, tmp_path, cli):
    PassRate({"other": (8, 1)}).to_parquet(tmp_path / "d.parquet")
    flags = ["--score", "pass_rate", "--attempts", str(tmp_path / "d.parquet"), "--out", str(tmp_path / "k.jsonl")]
    done = cli("select prune --data", data, *flags)
    assert done.code == 2
    assert "knows none of the ids" in done.err


def test_the_warm_up_takes_kept_rows_and_counts_what_is_too_long(data, tmp_path, cold_cache, capsys):
    model, tokenizer = build_tiny(hidden=64, layers=1)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    flags = ["--model", str(tmp_path / "model"), "--sft_steps", "2", "--sft_batch_size", "4", "--sft_data", str(data)]
    settings = warmup_settings(parse_config(TrainConfig, ["tiny"], flags))
    folder = warmup(settings)
    assert "WARNING: 1 of 13 warm-up rows exceed 512 tokens and are left out" in capsys.readouterr().err
    assert (folder / "model.safetensors").is_file()
    rows = read_rows(data)
    data.with_name("copy.jsonl").write_bytes(data.read_bytes())  # another name, the same rows: the same model
    copied = [*flags[:-1], str(data.with_name("copy.jsonl"))]
    assert warmup_settings(parse_config(TrainConfig, ["tiny"], copied)).key() == folder.name
    write_rows(rows[:-1], data)  # same name, other rows: another model
    assert settings.key() != folder.name


def test_the_warm_up_refuses_rows_of_another_form(tmp_path, cli):
    write_rows([{"prompt": "1+1?", "completion": "2"}], tmp_path / "bad.jsonl")
    for command in (["warmup"], ["train", "--no_report"]):
        done = cli(*command, "--config", "tiny", "--sft_data", tmp_path / "bad.jsonl")
        assert done.code == 2
        assert "Worked row '1', column 'completion': expected the form <think>" in done.err
    done = cli("warmup --config tiny --sft_data", tmp_path / "none.jsonl")
    assert done.code == 2
    assert "No file" in done.err
