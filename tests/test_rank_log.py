"""The log, rlvr's own files as candidates, and the command: what comes in, what goes out, and what is refused."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import rlvr
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.errors import DataError, SpecError
from rlvr.core.records import Completion, Problem
from rlvr.decide.ranking.completions import read_candidates
from rlvr.decide.ranking.log import read_log, read_rows, write_rows
from rlvr.decide.ranking.simulate import World
from rlvr.runs.eval_file import save_eval
from rlvr.runs.rollouts_file import write_rollouts
from tests.conftest import REPO
from tests.fake_run import full_run


def log_rows(lists=60, seed=0):
    """A simulated log as rows, with verdicts on half of them."""
    world, rng = World(size=4), np.random.default_rng(seed)
    X = world.candidates(rng, lists)
    log = world.show(rng, X, world.old_score(X))
    right = rng.random(len(log.X)) < 1 / (1 + np.exp(-world.logit(log.X)))
    return [
        {
            "list": int(log.lists[i]),
            "position": int(log.bias["position"][i]),
            "chosen": bool(log.y["chosen"][i]),
            "correct": bool(right[i]) if i % 2 else None,
            "tokens": 20 + i % 7,
            "interface": "wide" if i % 3 else None,
            **{name: float(value) for name, value in zip(log.features, log.X[i], strict=True)},
        }
        for i in range(len(log.X))
    ]


@pytest.fixture
def log_file(tmp_path):
    write_rows(tmp_path / "log.parquet", log_rows())
    return tmp_path / "log.parquet"


SAMPLES = [
    {"correct": True, "confidence": 0.9, "answer": "4", "tokens": 10, "logp": -5.0, "format_ok": True, "truncated": False},
    {"correct": None, "confidence": None, "answer": "4", "tokens": 20, "logp": -2.0, "format_ok": True, "truncated": False},
    {"correct": False, "confidence": 0.2, "answer": None, "tokens": 0, "logp": 0.0, "format_ok": False, "truncated": True},
]  # fmt: skip


@pytest.fixture
def eval_file(tmp_path):
    problems = [{"id": f"p{i}", "task": "t", "gold": "4", "samples": SAMPLES[i % 2 :]} for i in range(6)]
    save_eval({"schema": 1, "problems": problems}, tmp_path / "eval.json")
    return tmp_path / "eval.json"


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_log_comes_back_as_arrays(ending, tmp_path):
    rows = log_rows(5)
    rows[3]["x/0"] = None
    path = tmp_path / f"log.{ending}"
    write_rows(path, rows)
    log = read_log(path)
    assert log.features == ("x/0", "x/1", "x/2", "x/3", "x/4")
    assert set(log.y) == {"chosen", "correct", "cost"}
    assert set(log.bias) == {"position", "interface"}
    for i, row in enumerate(rows):
        assert (log.lists[i], log.bias["position"][i]) == (row["list"], row["position"])
        assert log.bias["interface"][i] == row["interface"]
        assert log.y["chosen"][i] == row["chosen"] and log.y["cost"][i] == row["tokens"]
        np.testing.assert_equal(log.y["correct"][i], np.nan if row["correct"] is None else row["correct"])
        np.testing.assert_equal(log.X[i], [np.nan if row[n] is None else row[n] for n in log.features])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("position", 0, "row 3, column 'position': expected a whole number from 1, found 0."),
        ("position", True, "row 3, column 'position': expected a whole number from 1, found True."),
        ("position", "first", "row 3, column 'position': expected a whole number from 1, found 'first'."),
        ("position", None, "row 3, column 'position': expected a whole number from 1, found None."),
        ("chosen", "yes", "row 3, column 'chosen': expected true or false, found 'yes'."),
        ("chosen", None, "row 3, column 'chosen': expected true or false, found None."),
        ("correct", 2, "row 3, column 'correct': expected true or false, found 2."),
        ("tokens", -1, "row 3, column 'tokens': expected a number from 0, found -1."),
        ("interface", 5, "row 3, column 'interface': expected a text, found 5."),
        ("x/1", "long", "row 3, column 'x/1': expected a finite number, found 'long'."),
        ("x/1", float("inf"), "row 3, column 'x/1': expected a finite number, found inf."),
        ("list", None, "row 3, column 'list': expected a text or a whole number, found None."),
        ("list", 1.5, "row 3, column 'list': expected a text or a whole number, found 1.5."),
    ],
)
def test_a_bad_row_is_named(column, value, message, tmp_path):
    rows = log_rows(5)
    rows[2][column] = value
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as error:
        read_log(path)
    assert message in str(error.value)


def test_a_position_twice_and_columns_that_are_not_there(tmp_path):
    rows, path = log_rows(5), tmp_path / "log.parquet"
    rows[1]["position"] = rows[0]["position"]
    write_rows(path, rows)
    with pytest.raises(DataError, match="row 2, column 'position': list 0 has position . already, in row 1"):
        read_log(path)
    write_rows(path, [{k: v for k, v in row.items() if k != "chosen"} for row in rows])
    with pytest.raises(DataError, match="no column 'chosen'; it has 'list', 'position'"):
        read_log(path)
    write_rows(path, [{k: v for k, v in row.items() if not k.startswith("x/")} for row in rows])
    with pytest.raises(DataError, match="no feature: name at least one column x/NAME"):
        read_log(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "holds no rows"),
        ("a.jsonl", b'{"list": 1}\n{"list": \n', "row 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "row 1 holds a list, not an object"),
        ("a.jsonl", b"\xff\n", "row 1 is not JSON"),
        ("a.parquet", b"nonsense", "is no Parquet file"),
        ("a.csv", b"list\n", "must end in .parquet or .jsonl"),
    ],
)
def test_files_that_are_no_table(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path / name)


def test_a_file_that_is_not_there():
    with pytest.raises(DataError, match=r"Cannot read nowhere.jsonl: No such file"):
        read_rows("nowhere.jsonl")


def test_an_evaluation_as_candidates(eval_file):
    rows = read_candidates(eval_file)
    assert len(rows) == 3 * 3 + 3 * 2
    first, second, third = rows[:3]
    assert (first["list"], [r["candidate"] for r in rows[:3]]) == ("p0", [0, 1, 2])
    assert (first["x/logp"], first["x/agreement"], first["x/confidence"]) == (-0.5, 2 / 3, 0.9)
    assert (second["correct"], second["x/confidence"]) == (None, None)
    assert (third["x/agreement"], third["x/logp"], third["x/truncated"]) == (None, 0.0, True)


def test_rollouts_as_candidates(tmp_path):
    """The same features, but for log-probabilities, which rollouts do not hold."""
    problems = [Problem(f"p{i}", [{"role": "user", "content": "2+2?"}], "4") for i in (0, 0, 1, 1)]
    records = [Completion(p, "", "4", 0.5, True, i != 2, 7 + i) for i, p in enumerate(problems)]
    reward = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    path = tmp_path / "step-00003.parquet"
    signal = Signal.start(Rollouts.of(reward))
    write_rollouts(path, step=3, records=records, terms={}, reward=reward, signal=signal)
    rows = read_candidates(path)
    assert [r["list"] for r in rows] == ["p0/step3/group0"] * 2 + ["p1/step3/group1"] * 2
    assert [r["correct"] for r in rows] == [True, True, False, True]
    assert [r["x/tokens"] for r in rows] == [7, 8, 9, 10]
    assert set(rows[0]) >= {"x/confidence", "x/agreement", "x/format_ok", "x/truncated"} and "x/logp" not in rows[0]


def test_the_example_of_the_page_ranks_a_run(tmp_path, monkeypatch, cli):
    """docs/rank.md, run as it stands, gives what the command gives; a Run is its rollouts."""
    monkeypatch.chdir(tmp_path)
    full_run(tmp_path / "runs" / "demo", hostile=False)
    run = rlvr.Run("runs/demo")
    run.after.save("after.json")
    rows = read_candidates(run.after)
    assert rows == read_candidates("after.json") == read_candidates(run.after.contents) == read_candidates(rows)
    assert len(read_candidates(run)) == len(read_candidates("runs/demo")) == len(run.rollouts)
    draw = np.random.default_rng(0)
    log = [
        {**r, "position": r["candidate"] + 1, "chosen": bool(draw.random() < 0.9 / (r["candidate"] + 1))} for r in rows
    ]
    write_rows(tmp_path / "clicks.jsonl", log)
    (code,) = re.findall(r"```python\n(import rlvr\n.*?)```", (REPO / "docs/rank.md").read_text("utf-8"), re.DOTALL)
    names: dict = {}
    exec(code, names)
    ranking = names["ranking"]
    assert set(names["best"]) == {r["list"] for r in rows} and len(ranking.rows) == len(rows)
    cli("decide rank --log clicks.jsonl --candidates after.json --out ranked.jsonl --weights chosen=1")
    assert read_rows("ranked.jsonl") == json.loads(json.dumps(ranking.rows))
    assert rlvr.rank(log, rows, weights={"chosen": 1.0}).rows == ranking.rows
    with pytest.raises(SpecError, match="Did you mean 'tower'"):
        rlvr.rank(log, method="towr")
    with pytest.raises(DataError, match="The log holds no rows"):
        rlvr.rank([])


def test_the_command_fits_reports_and_ranks(log_file, tmp_path, cli):
    out = tmp_path / "ranked.parquet"
    rows = log_rows(20, seed=1)
    write_rows(tmp_path / "new.jsonl", rows)
    argv = ["decide", "rank", "--log", str(log_file), "--candidates", str(tmp_path / "new.jsonl"), "--out", str(out)]
    done = cli(*argv, "--weights", "chosen=1", "correct=2", "cost=0.1")
    assert done.code == 0
    text = done.out
    for part in ("60 lists, 240 candidates shown", "gate entropy", "position curve", "biased by: position, interface",
                 "random pick", "difference"):  # fmt: skip
        assert part in text
    ranked = pq.read_table(out).to_pylist()
    assert len(ranked) == len(rows)
    for name in {row["list"] for row in ranked}:
        mine = [row for row in ranked if row["list"] == name]
        assert [row["rank"] for row in mine] == [1, 2, 3, 4]
        assert [row["score"] for row in mine] == sorted((row["score"] for row in mine), reverse=True)
    assert {"p/chosen", "p/correct", "p/cost", "x/0"} <= ranked[0].keys()


@pytest.mark.parametrize("method", ["tower", "position_feature"])
def test_serving_ignores_where_a_candidate_stood(method, log_file, tmp_path, cli):
    """Candidates that come with other positions, interfaces and choices get the same scores and ranks, to the bit."""
    rows = log_rows(20, seed=1)
    elsewhere = [
        {**row, "position": 5 - row["position"], "interface": "narrow", "chosen": not row["chosen"]} for row in rows
    ]
    found = []
    for i, candidates in enumerate((rows, elsewhere)):
        given, out = tmp_path / f"{i}.jsonl", tmp_path / f"out{i}.jsonl"
        write_rows(given, candidates)
        argv = ["decide", "rank", "--log", str(log_file), "--candidates", str(given), "--out", str(out)]
        done = cli(*argv, "--method", method)
        assert done.code == 0
        found.append([(row["list"], row["x/0"], row["score"], row["rank"]) for row in read_rows(out)])
    assert found[0] == found[1]


def test_an_evaluation_becomes_rows_to_show_and_can_be_ranked_later(eval_file, tmp_path, cli):
    out = tmp_path / "to_show.jsonl"
    done = cli("decide rank --candidates", eval_file, "--out", out)
    assert done.code == 0
    assert "15 candidates written" in done.out
    rows = read_rows(out)
    for row in rows:
        row.update(position=row["candidate"] + 1, chosen=row["candidate"] == 0)
    write_rows(tmp_path / "log.jsonl", rows)
    argv = ["decide", "rank", "--log", str(tmp_path / "log.jsonl"), "--candidates", str(eval_file)]
    done = cli(*argv, "--out", tmp_path / "ranked.jsonl")
    assert done.code == 0
    text = done.out
    assert "missing features (mean and an indicator): x/agreement in 6 of 15 rows, x/confidence in 6 of 15 rows" in text
    assert "candidates: 15; missing features: x/agreement in 6 of 15 rows" in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "Give --log"),
        (["--candidates", "a.json"], "belong together"),
        (["--log", "a.parquet", "--out", "b.jsonl"], "belong together"),
        (["--candidates", "a.json", "--out", "b.csv"], "must end in .parquet or .jsonl"),
        (["--log", "LOG", "--method", "towr"], "No method 'towr'. Did you mean 'tower'"),
        (["--log", "LOG", "--weights", "chosen"], "OBJECTIVE=NUMBER"),
        (["--log", "LOG", "--weights", "format=1"], "No objective 'format'"),
        (["--log", "nowhere.parquet"], "Cannot read nowhere.parquet"),
    ],
)
def test_bad_command_lines(argv, message, log_file, cli):
    done = cli("decide rank", *(log_file if a == "LOG" else a for a in argv))
    assert done.code == 2
    assert message in (err := done.err)
    assert "Traceback" not in err


def test_candidates_must_have_the_features_of_the_log(log_file, eval_file, tmp_path, cli):
    argv = [
        "decide",
        "rank",
        "--log",
        str(log_file),
        "--candidates",
        str(eval_file),
        "--out",
        str(tmp_path / "o.jsonl"),
    ]
    done = cli(*argv)
    assert done.code == 2
    assert "has no column 'x/0', which the log has; it has 'list', 'candidate'" in done.err
    assert not (tmp_path / "o.jsonl").exists()
