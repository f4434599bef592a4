"""Run, Evaluation, Comparison, Ablation: readers that open what the command wrote, and add no number of their own."""

import json
import math

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import rlvr
from rlvr.core.errors import DataError, RunError, SpecError
from rlvr.measure.metrics import compare_evals, summarise_eval
from rlvr.planning.ablation.arms import read_ablation
from rlvr.report.ablation.summary import summarise_ablation
from rlvr.runs.directory import read_metrics
from rlvr.runs.eval_file import load_eval, save_eval
from tests.fake_run import HOSTILE, LEVELS, counted_evaluation, drawn_evaluation, evaluation, sample, write_run

BEFORE, AFTER = (drawn_evaluation(seed, 0.1 * seed, 0.5, problems=18, n=4) for seed in (0, 1))


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "run", before=BEFORE, after=AFTER, steps=3, rollouts=(1, 3))
    return rlvr.Run(tmp_path / "run")


def test_an_evaluation_has_the_numbers_of_the_metrics():
    found, expected = rlvr.Evaluation(BEFORE), summarise_eval(BEFORE, ks=[1, 4])
    curve = found.pass_at_k([1, 4])
    assert list(curve) == ["pass@1", "pass@4"]
    assert curve[4] == curve["pass@4"] == expected["pass@4"]
    for name, value in found.calibration().items():
        assert repr(value) == repr(expected[name]), name
    assert found.calibration("vote")["ece"] == summarise_eval(BEFORE, confidence="vote")["ece"]
    assert found.metrics()["tokens"] == expected["tokens"]
    frame = curve.to_pandas()
    assert frame.loc["pass@4", ["value", "low", "high"]].tolist() == [curve[4].value, curve[4].low, curve[4].high]
    assert (len(found), found.n, found.data) == (18, 4, BEFORE["spec"])


def test_an_evaluation_survives_the_way_to_disk_and_back(tmp_path):
    file = rlvr.Evaluation(BEFORE).save(tmp_path / "deep" / "before.json")
    assert rlvr.Evaluation(file).record == BEFORE == load_eval(file)


def test_every_sample_is_a_row():
    frame = rlvr.Evaluation(counted_evaluation([[True, False], [None, True]])).to_pandas()
    assert frame["correct"].tolist() == [True, False, pd.NA, True]
    assert frame["id"].tolist() == ["p0", "p0", "p1", "p1"]
    assert frame["sample"].tolist() == [0, 1, 0, 1]
    none = rlvr.Evaluation(counted_evaluation([[True]], confidence=None)).to_pandas()
    assert none["confidence"].dtype == "float64"
    assert math.isnan(none["confidence"][0])


def test_an_evaluation_without_samples_has_a_row_for_each_problem():
    """It was empty: an exact evaluation computes each problem's chance and samples nothing."""
    exact = counted_evaluation([[], []])
    for chance, problem in zip((0.25, 0.5), exact["problems"], strict=True):
        problem["p"] = chance
    frame = rlvr.Evaluation(exact).to_pandas()
    assert frame.to_dict("list") == {"id": ["p0", "p1"], "task": list(LEVELS[:2]), "gold": ["4", "4"], "p": [0.25, 0.5]}
    exact["problems"][1]["samples"] = counted_evaluation([[True, False]])["problems"][0]["samples"]
    sampled = rlvr.Evaluation(exact).to_pandas()  # beside samples it is a column of theirs
    assert sampled[["id", "p", "correct"]].values.tolist() == [["p1", 0.5, True], ["p1", 0.5, False]]


def test_a_comparison_is_the_other_minus_this_paired(tmp_path):
    change = rlvr.Evaluation(BEFORE).compare(rlvr.Evaluation(AFTER))
    expected = compare_evals(before=BEFORE, after=AFTER)
    assert set(change) == set(expected)
    assert all(repr(change[name]) == repr(expected[name]) for name in expected)
    row = change.to_pandas().loc["pass@1"]
    assert row["change"] == pytest.approx(row["after"] - row["before"])
    save_eval(AFTER, tmp_path / "after.json")
    assert rlvr.Evaluation(BEFORE).compare(tmp_path / "after.json")[1] == change["pass@1"]
    assert "paired difference" in repr(change)


def test_a_comparison_says_what_else_differs_and_refuses_other_problems():
    warmer = rlvr.Evaluation(BEFORE).compare({**AFTER, "temperature": 0.6})
    assert "temperature differs: 1.0 and 0.6; not like for like." in repr(warmer)
    fewer = {**AFTER, "problems": AFTER["problems"][:12]}
    with pytest.raises(DataError, match="allow_missing"):
        rlvr.Evaluation(BEFORE).compare(fewer)
    assert rlvr.Evaluation(BEFORE).compare(fewer, allow_missing=True)["pass@1"].n == 12


def test_a_run_opens_what_the_command_wrote(run):
    assert run.before.record == BEFORE
    assert run.after.record == AFTER
    rows = read_metrics(run.path / "metrics.jsonl")
    assert run.metrics.index.tolist() == [row["step"] for row in rows]
    assert run.metrics["reward"].tolist() == [row["reward"] for row in rows]
    assert {"completion", "reward", "advantage", "dropped_by"} <= set(run.rollouts.columns)
    assert run.rollouts["step"].is_monotonic_increasing
    assert run.config["advantage"]
    text = repr(run)
    assert "pass@1" in text
    assert "paired difference" in text
    page = run.report()
    assert page.path == run.path / "report.html"
    assert page.path.is_file()
    assert "file://" in page._repr_html_()


def test_rollouts_of_steps_with_other_columns_go_below_each_other(run):
    """A column that holds only nulls in one file, or is missing there, is no obstacle."""
    for step, columns in ((101, {"answer": [None]}), (102, {"answer": ["4"], "term/new": [1.0]})):
        pq.write_table(pa.table({"step": [step], **columns}), run.path / "rollouts" / f"step-{step:05d}.parquet")
    last = run.rollouts.iloc[-2:]
    assert last["answer"].tolist()[1] == "4"
    assert last["term/new"].tolist()[1] == 1.0


def test_a_run_that_is_not_there_or_measured_nothing_says_so(tmp_path):
    with pytest.raises(RunError, match="not a folder"):
        rlvr.Run(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(RunError, match="not a run directory"):
        rlvr.Run(tmp_path / "bare")
    (tmp_path / "bare" / "config.yaml").write_text("model: tiny\n")
    bare = rlvr.Run(tmp_path / "bare")
    assert len(bare.metrics) == len(bare.rollouts) == len(bare.difficulty) == 0
    assert "No evaluation was made" in repr(bare)
    with pytest.raises(RunError, match="no evaluation before training"):
        bare.before  # noqa: B018


def test_a_run_with_several_sets_asks_which(run):
    save_eval({**BEFORE, "spec": "gsm8k"}, run.path / "eval" / "before" / "gsm8k.json")
    with pytest.raises(RunError, match=r"measured 2 sets: .*run.evaluation\('before'"):
        run.before  # noqa: B018
    assert run.evaluation("before", "gsm8k").data == "gsm8k"
    with pytest.raises(RunError, match="Did you mean 'gsm8k'"):
        run.evaluation("before", "gsm8")
    with pytest.raises(RunError, match="Did you mean 'before'"):
        run.evaluation("befor")


@pytest.mark.parametrize("evil", HOSTILE)
def test_untrusted_text_neither_acts_in_a_notebook_nor_in_a_terminal(tmp_path, evil):
    problem = {"id": evil, "task": evil, "gold": evil, "samples": [sample(answer=evil), sample(False, answer=evil)]}
    record = evaluation([problem], spec=evil, model=evil)
    write_run(tmp_path / "run", before=record, after=record, advantage=evil)
    run = rlvr.Run(tmp_path / "run")
    for shown in (rlvr.Evaluation(record), rlvr.Evaluation(record).compare(record), run):
        html = shown._repr_html_()
        for piece in ("<script", "<img", "<div", "<b>", "\x1b", "\u202e"):
            assert piece not in html
        assert "\x1b" not in repr(shown)
        assert "\u202e" not in repr(shown)


# ---------------------------------------------------------------------- ablations


@pytest.fixture
def folder(tmp_path):
    """An ablation's folder as `rlvr ablate` leaves it: two arms, two seeds, a control, and a run that is missing."""
    keys = {
        "base": ["tiny"], "arms": {"plain": {"recipes": ["grpo"]}, "with_brier": {"recipes": ["rlcr"]}},
        "controls": ["format_only", "untrained"], "seeds": [0, 1], "baseline": "plain",
    }  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    (out / "ablation.yaml").write_text(yaml.safe_dump(keys))
    for i, one in enumerate(read_ablation(out / "ablation.yaml").runs):
        settings = out / "settings" / f"{one.name}.yaml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(yaml.safe_dump(dict(one.settings)))
        if one.name != "format_only-s1":
            after = drawn_evaluation(i, 0.05 * i, 0.5, problems=18, n=4)
            write_run(out / "runs" / one.name, before=BEFORE, after=after, data="arithmetic")
    return out


def test_an_ablation_has_the_numbers_of_the_report(folder):
    found, expected = rlvr.Ablation(folder), summarise_ablation(read_ablation(folder / "ablation.yaml"), folder)
    assert found.baseline == "plain"
    assert found.missing == expected["missing"] == ["format_only-s1"]
    assert list(found.table.index) == list(expected["arms"])
    assert found.table.loc["with_brier", "pass@1"] == expected["arms"]["with_brier"]["mean"]["pass@1"]
    gap = found.differences.loc[("with_brier", "brier")]
    assert gap["difference"] == expected["differences"]["with_brier"]["brier"].value
    assert gap["p_holm"] == expected["p_holm"]["with_brier brier"]
    assert "difference to plain" in repr(found)
    assert "<table>" in found._repr_html_()


def test_an_ablation_goes_into_a_paper_and_a_spreadsheet(folder, tmp_path):
    found = rlvr.Ablation(folder)
    text = found.to_latex(tmp_path / "t.tex")
    assert (tmp_path / "t.tex").read_text() == text
    assert r"with\_brier & pass@1 & " in text
    assert text.count(r"\\") == 1 + len(found.differences)
    found.to_csv(tmp_path / "t.csv")
    back = pd.read_csv(tmp_path / "t.csv", index_col=["arm", "metric"])
    pd.testing.assert_frame_equal(back, found.differences.astype(float))


def test_an_ablation_can_take_another_baseline_and_an_old_folder_needs_one(folder):
    turned = rlvr.Ablation(folder, baseline="with_brier").differences.loc[("plain", "pass@1"), "difference"]
    assert turned == pytest.approx(-rlvr.Ablation(folder).differences.loc[("with_brier", "pass@1"), "difference"])
    with pytest.raises(SpecError, match="Did you mean 'plain'"):
        rlvr.Ablation(folder, baseline="plan")
    (folder / "ablation.yaml").unlink()  # as folders of before 2026-11-24 are
    with pytest.raises(SpecError, match="give baseline=, one of format_only, plain, with_brier"):
        rlvr.Ablation(folder)
    assert rlvr.Ablation(folder, baseline="plain").missing == ["format_only-s1"]
    with pytest.raises(RunError, match="holds no ablation"):
        rlvr.Ablation(folder / "runs")


def test_settings_of_an_earlier_version_of_the_file_are_left_out(folder):
    keys = yaml.safe_load((folder / "ablation.yaml").read_text())
    del keys["arms"]["with_brier"]
    (folder / "ablation.yaml").write_text(json.dumps(keys | {"seeds": [0]}))
    found = rlvr.Ablation(folder)
    assert list(found.table.index) == ["plain", "format_only", "untrained"]
    assert found.missing == []
