"""The report reads run directories, computes what they hold, and says what is missing."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlvr.core.errors import RlvrError, RunError
from rlvr.measure.metrics import Interval, summarise_eval
from rlvr.report import eval_table, summarise, to_html, to_markdown, write_report
from rlvr.report.show import METRICS
from rlvr.report.summarise import short_names
from rlvr.report.tables import metrics as metric_table
from rlvr.report.tables import reading
from rlvr.report.training import group_counts, training_table
from rlvr.report.words import change
from tests.fake_run import counted_evaluation, evaluation, write_run

T, F = True, False
# Four problems, two samples each. Rates before 0, 1/2, 1/2, 1: pass@1 = 2/4 = 0.5; pass@2 = 3/4.
BEFORE = [[F, F], [T, F], [F, T], [T, T]]
# Rates after 1/2, 1, 1, 1: pass@1 = 3.5/4 = 0.875; pass@2 = 1. All confidence 0.5: Brier = 0.25 both times,
# ECE = |0.5 - 0.5| = 0 before and |0.5 - 0.875| = 0.375 after.
AFTER = [[T, F], [T, T], [T, T], [T, T]]


def small(path: Path, before=BEFORE, after=AFTER, copies: int = 1, **options) -> Path:
    """A run with the hand-made evaluations, each problem `copies` times."""
    sides = {"before": counted_evaluation(before * copies), "after": counted_evaluation(after * copies)}
    return write_run(path, **sides, **options)


# ---------------------------------------------------------------------- numbers


def test_golden_numbers_of_a_small_run(tmp_path):
    measured = summarise([small(tmp_path / "run")])["runs"][0]["sets"]["arithmetic"]
    values = {
        side: {key: found.value for key, found in measured[side].items() if isinstance(found, Interval)}
        for side in ("before", "after", "difference")
    }
    for key, expected in {"pass@1": (0.5, 0.875, 0.375), "pass@2": (0.75, 1.0, 0.25)}.items():
        assert tuple(values[s][key] for s in ("before", "after", "difference")) == pytest.approx(expected)
    for key, expected in {"ece": (0.0, 0.375, 0.375), "brier": (0.25, 0.25, 0.0)}.items():
        assert tuple(values[s][key] for s in ("before", "after", "difference")) == pytest.approx(expected)
    # Differences by problem are 1/2, 1/2, 1/2, 0. Mean of 4 draws: P(0) = 1/256 = 0.004 and
    # P(<= 1/8) = 0.004 + 4 (3/4) (1/4)^3 = 0.051, so the 2.5% quantile is 1/8; P(1/2) = (3/4)^4 > 2.5%.
    assert (measured["difference"]["pass@1"].low, measured["difference"]["pass@1"].high) == (0.125, 0.5)
    # Tasks alternate: L0 has problems 0 and 2 (before 0 and 1/2), L1 has 1 and 3 (1/2 and 1).
    found = {task: i.value for task, i in measured["by_task"]["before"].items()}
    assert found == {"arithmetic/L0": 0.25, "arithmetic/L1": 0.75}


def test_verdict_names_a_direction_only_where_the_interval_excludes_zero(tmp_path):
    rose = summarise([small(tmp_path / "rose", copies=3)])["verdict"][0]["text"]
    assert "Held-out pass@1 rose from 0.500 to 0.875 (paired difference +0.375" in rose
    assert "12 problems" in rose
    fell = summarise([small(tmp_path / "fell", AFTER, BEFORE, copies=3)])["verdict"][0]["text"]
    assert "pass@1 fell from 0.875 to 0.500 (paired difference -0.375" in fell
    same = summarise([small(tmp_path / "same", AFTER, AFTER, copies=3)])["verdict"][0]["text"]
    assert "no change to tell from chance" in same
    assert not re.search("rose|fell", same)
    few = summarise([small(tmp_path / "few")])["verdict"][0]["text"]
    assert "4 problems are too few" in few
    assert not re.search("rose|fell", few)


def test_an_interval_that_touches_zero_is_no_direction():
    side = Interval(0.5, 0.4, 0.6, 50)
    assert "includes 0" in change("pass@1", side, side, Interval(0.1, 0.0, 0.2, 50))


def test_a_bound_that_is_zero_but_for_rounding_is_no_direction():
    """A report said "fell ... [-0.078, 0.000]", tagged "worse": the upper bound was -2.3e-18."""
    side, gain = Interval(0.5, 0.4, 0.6, 64), Interval(-0.031, -0.078, -2.3e-18, 64)
    assert "includes 0" in change("pass@1", side, side, gain)
    assert reading(gain, better=True) == ""


def test_all_right_is_not_certain(tmp_path):
    """Twelve of twelve problems right: Clopper-Pearson at 95% is [0.735, 1]; the page says how it was made."""
    right = [[T, T]] * 12
    summary = summarise([small(tmp_path / "run", right, right)])
    rows = {row[0]: row for row in metric_table(summary["runs"][0]["sets"]["arithmetic"]).rows}
    assert rows["pass@2"][1:3] == ("1.000 [0.735, 1.000]",) * 2
    assert rows["cut off at the length limit"][2] == "0.000 [0.000, 0.265]"
    tasks = summary["runs"][0]["sets"]["arithmetic"]["by_task"]["after"]
    assert str(tasks["arithmetic/L0"]) == "1.000 [0.54, 1.00]"
    assert "Clopper-Pearson" in to_markdown(summary)


def test_every_metric_is_shown():
    measured = {"after": summarise_eval(counted_evaluation(BEFORE)), "difference": {}}
    shown = {row[0] for row in metric_table(measured).rows}
    assert {m.label for m in METRICS} - {"pass@"} <= shown
    not_shown = {"nll", "ece_mass", "brier_reliability", "brier_resolution", "brier_uncertainty"}
    intervals = {key for key, value in measured["after"].items() if isinstance(value, Interval)}
    assert intervals - not_shown == {m.key for m in METRICS if m.key != "pass@"} | {"pass@1", "pass@2"}


def test_groups_are_counted_by_verdict_and_drops_by_transform(tmp_path):
    rows = {
        "group": [0, 0, 1, 1, 2, 2, 3, 3],
        "correct": [T, F, T, T, F, F, None, None],  # mixed, all right, all wrong, unverified
        "dropped_by": [
            None,
            None,
            None,
            None,
            "drop_zero_signal",
            "drop_zero_signal",
            "unscored",
            "unscored",
        ],
    }
    path = tmp_path / "step-00001.parquet"
    pq.write_table(pa.table(rows), path)
    found = group_counts([path, path])
    assert found["groups"] == {"mixed": 2, "all right": 2, "all wrong": 2, "unverified": 2}
    assert found["dropped"] == {"drop_zero_signal": 4, "unscored": 4}
    assert found["completions"] == 16


def test_training_table_takes_both_ends_and_skips_what_was_not_logged():
    rows = [{"step": i, "reward": float(i), "kl": None, "rewards/brier/mean": 1.0} for i in range(20)]
    rows[0]["reward"] = float("nan")
    found = {row["key"]: row for row in training_table(rows)}
    assert set(found) == {"reward", "rewards/brier/mean"}
    assert found["rewards/brier/mean"]["label"] == "reward term brier"
    # A tenth of 20 steps is 2: the first holds NaN and 1, the last 18 and 19; all is the mean of 1..19.
    assert (found["reward"]["first"], found["reward"]["last"], found["reward"]["all"]) == (1.0, 18.5, 10.0)


def test_eval_table_has_metrics_tasks_and_the_baseline():
    text = eval_table(counted_evaluation(AFTER * 3))
    assert "12 problems, 24 samples" in text
    assert re.search(r"pass@1 +0\.875 \[", text)
    assert re.search(r"pass@2 +1\.000 \[", text)
    assert re.search(r"arithmetic/L0 +0\.750 \[.*\] +6", text)
    assert "of a constant confidence" in text
    assert max(len(line) for line in text.splitlines()) <= 110


def test_eval_table_against_an_earlier_evaluation_is_paired():
    text = eval_table(counted_evaluation(AFTER * 3), counted_evaluation(BEFORE * 3))
    assert "before" in text
    assert "paired difference" in text
    vote = eval_table(counted_evaluation(AFTER * 3), confidence="vote")  # one answer everywhere: each share is 1
    assert "mean confidence" in vote
    assert next(line for line in vote.splitlines() if line.startswith("mean confidence")).split()[2] == "1.000"


def test_eval_table_without_confidence_or_verdicts():
    assert "constant confidence (" not in eval_table(counted_evaluation(BEFORE, confidence=None))
    failed = eval_table(counted_evaluation([[None, None], [None, None]]))
    assert "The verifier failed on 4 samples" in failed
    assert eval_table(evaluation([])).startswith("arithmetic(levels=[0, 1, 2, 3, 4, 5]): 0 problems")


# ---------------------------------------------------------------------- missing and broken pieces


def test_what_is_no_run_directory_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="not a run directory"):
        summarise([tmp_path / "empty"])
    with pytest.raises(RunError, match="not a folder"):
        summarise([tmp_path / "nowhere"])
    with pytest.raises(RunError, match="at least one"):
        summarise([])
    run, taken = write_run(tmp_path / "run"), tmp_path / "file"
    taken.write_text("")
    with pytest.raises(RlvrError, match="Cannot write the report"):
        write_report([run], taken)


def test_a_run_that_was_killed_early_says_what_it_lacks(tmp_path):
    run = write_run(tmp_path / "run", before=counted_evaluation(BEFORE), steps=3, planned=10)
    (run / "metrics.jsonl").open("a").write('{"step": 4, "rew')  # torn by the kill
    found = summarise([run])
    notes = " ".join(found["runs"][0]["notes"])
    assert "stopped at step 3 of 10" in notes
    assert "arithmetic was not measured after training" in notes
    assert "no transcripts" in notes
    assert "pass@1 is 0.500" in found["verdict"][0]["text"]
    page, text = to_html(found, []), to_markdown(found, [])
    assert "stopped at step 3 of 10" in page
    assert "stopped at step 3 of 10" in text


@pytest.mark.parametrize("kept", ["config.yaml", "metrics.jsonl", "eval"])
def test_any_one_piece_alone_makes_a_report(tmp_path, kept):
    run = small(tmp_path / "run", steps=2)
    for path in run.iterdir():
        if path.name != kept and path.is_file():
            path.unlink()
    if kept != "eval":
        (run / "eval").rename(tmp_path / "away")
    out = write_report([run], tmp_path / "out")
    assert "is missing" in out.read_text(encoding="utf-8")


def test_broken_files_become_notes(tmp_path):
    run = small(tmp_path / "run", steps=3, rollouts=(1,))
    (run / "config.yaml").write_text("a: [1\n")
    (run / "env.json").write_text("[1]")
    (run / "metrics.jsonl").write_text('{"step": 1}\nnot json\n{"step": 2}\n')
    (run / "eval" / "after" / "arithmetic.json").write_text("{")
    (run / "eval" / "after" / "other.json").write_text('{"schema": 1, "problems": [{"id": "a"}]}')
    (run / "difficulty.parquet").write_bytes(b"PAR1 no")
    (run / "rollouts" / "step-00002.parquet").write_bytes(b"")
    notes = "\n".join(summarise([run])["runs"][0]["notes"])
    for name in ("config.yaml", "env.json", "metrics.jsonl", "eval/after/arithmetic.json",
                 "eval/after/other.json", "difficulty.parquet", "rollouts/step-00002.parquet"):  # fmt: skip
        assert f"{name} cannot be read" in notes
    write_report([run], tmp_path / "out")


def test_a_resumed_run_counts_each_step_once_as_logged_last(tmp_path):
    run = write_run(tmp_path / "run", steps=2)
    rows = [{"step": 1, "reward": 1.0}, {"step": 2, "reward": 2.0}, {"step": 2, "reward": 5.0}]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [row["reward"] for row in summarise([run])["runs"][0]["metrics"]] == [1.0, 5.0]


def test_evaluations_that_cannot_be_paired_or_are_not_alike_say_so(tmp_path):
    other = counted_evaluation(AFTER)
    other["problems"][0]["gold"] = "5"
    run = write_run(tmp_path / "gold", before=counted_evaluation(BEFORE), after=other)
    measured = summarise([run])["runs"][0]["sets"]["arithmetic"]
    assert measured["difference"] == {}
    assert "gold answer" in measured["notes"][0]
    warm = counted_evaluation(AFTER, temperature=0.7)
    run = write_run(tmp_path / "warm", before=counted_evaluation(BEFORE), after=warm)
    assert "temperature differs" in summarise([run])["runs"][0]["sets"]["arithmetic"]["notes"][0]


@pytest.mark.parametrize(
    "record",
    [counted_evaluation([[None, None]] * 3), counted_evaluation(BEFORE, None), evaluation([])],
    ids=["no verdicts", "no confidence", "no problems"],
)
def test_degenerate_evaluations_make_a_report(tmp_path, record):
    out = write_report([write_run(tmp_path / "run", before=record, after=record)], tmp_path / "out")
    text = (out.parent / "report.md").read_text(encoding="utf-8")
    assert "calibration was not measured" in text
    assert "nan" not in text.lower()


# ---------------------------------------------------------------------- several runs


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("three")
    runs = [
        small(folder / "rlcr-tiny-s0-20260101-120000", copies=3, seed=0, advantage="dr_grpo"),
        small(folder / "nsr-tiny-s0-20260101-130000", after=BEFORE, copies=3, seed=0, advantage="nsr"),
        small(folder / "rlcr-tiny-s1-20260101-140000", copies=3, seed=1, advantage="dr_grpo"),
    ]
    return summarise([*runs, runs[0]])


def test_runs_are_named_short_and_given_twice_counts_once(three):
    assert [run["name"] for run in three["runs"]] == ["rlcr-s0", "nsr-s0", "rlcr-s1"]
    assert three["runs"][0]["folder"] == "rlcr-tiny-s0-20260101-120000"


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["a-s0-20260101-120000"], ["a-s0-20260101-120000"]),
        (["a-s0-20260101-120000", "a-s0-20260101-120001"], ["120000", "120001"]),
        (["demo", "my-long-run"], ["demo", "my-long-run"]),
        (["x/demo", "y/demo"], ["x/demo", "y/demo"]),
    ],
)
def test_short_names_stay_apart(folders, names):
    assert short_names(folders) == names


def test_config_diff_lists_only_what_differs(three):
    assert [row["key"] for row in three["config_diff"]] == ["advantage", "seed"]
    assert three["config_diff"][0]["values"] == ["dr_grpo", "nsr", "dr_grpo"]
    assert "Settings that differ" in to_html(three, [])


def test_trained_models_are_paired_with_the_first_run(three):
    gains = {row["run"]: row["difference"]["pass@1"].value for row in three["between"]}
    assert gains == pytest.approx({"nsr-s0": 0.5 - 0.875, "rlcr-s1": 0.0})
    assert {row["to"] for row in three["between"]} == {"rlcr-s0"}


def test_seeds_of_one_setting_are_gathered(three):
    assert [(row["runs"], row["seeds"]) for row in three["seeds"]] == [
        (["rlcr-s0", "rlcr-s1"], 2),
        (["nsr-s0"], 1),
    ]
    assert three["seeds"][0]["gains"]["arithmetic"] == pytest.approx([0.375, 0.375])
    assert "Between 1 and 2 seeds" in three["limits"][0]
