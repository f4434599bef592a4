"""The numbers of an ablation are those of its runs' reports, over runs that are whole."""

import json

import pytest
import yaml

from rlvr.planning.ablation.arms import Ablation, Run
from rlvr.planning.ablation.folder import finished
from rlvr.report import summarise
from rlvr.report.ablation.summary import summarise_ablation
from rlvr.report.ablation.text import to_text
from rlvr.report.training import trained_seconds
from rlvr.runs.eval_file import save_eval
from tests.fake_run import drawn_evaluation, evaluation, sample, write_run


def lopsided(seed=0):
    """Two problems with one stated confidence, eight with four: a mean over problems is no mean over samples."""
    problems = []
    for i in range(10):
        stated = 1 if i < 2 else 4
        samples = [sample((i + j + seed) % 3 > 0, 0.9 if j < stated else None) for j in range(4)]
        problems.append({"id": f"p{i}", "task": "t", "gold": "4", "samples": samples})
    return evaluation(problems)


def ablation_of(tmp_path, **runs):
    """An ablation of one seed over runs that were written by hand: name of the arm -> evaluation after training."""
    for arm, after in runs.items():
        path = write_run(tmp_path / "runs" / f"{arm}-s0", after=after, before=lopsided(), data="arithmetic", steps=4)
        (path / "model").mkdir()
    arms = tuple(runs)
    return Ablation(tuple(Run(arm, 0, {}) for arm in arms), arms, arms[0], untrained=True)


def test_every_number_is_that_of_the_report_of_the_run(tmp_path):
    ablation = ablation_of(tmp_path, a=lopsided(1), b=lopsided(2))
    found = summarise_ablation(ablation, tmp_path)
    for arm in ("a", "b"):
        report = summarise([tmp_path / "runs" / f"{arm}-s0"])["runs"][0]["sets"]["arithmetic"]["after"]
        for name in ("pass@1", "ece", "brier", "confidence_missing"):
            assert found["arms"][arm]["mean"][name] == pytest.approx(report[name].value), name
    gap = found["differences"]["b"]["brier"]
    assert gap.value == pytest.approx(found["arms"]["b"]["mean"]["brier"] - found["arms"]["a"]["mean"]["brier"])
    assert gap.low <= gap.value <= gap.high
    assert 0 < found["p"]["b brier"] <= 1
    assert len(found["p"]) == 4  # two metrics of b and of untrained
    text = to_text(found)
    assert "no confidence" in text
    assert " 15% " in text  # 6 of 40 samples state none
    assert "With 1 seed the intervals are too narrow" in text


def test_seconds_are_those_of_all_processes_of_a_run(tmp_path):
    """A run that was killed after 16 s and resumed for 1.2 s trained 17.2 s; files of today go on counting."""
    ablation = ablation_of(tmp_path, a=lopsided())
    metrics = tmp_path / "runs" / "a-s0" / "metrics.jsonl"
    for seconds in ((8.0, 16.0, 0.7, 1.2), (8.0, 16.0, 16.7, 17.2)):
        rows = [{"step": i, "seconds": s, "num_tokens": 10 * i} for i, s in enumerate(seconds, 1)]
        metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert summarise_ablation(ablation, tmp_path)["arms"]["a"]["cost"]["seconds"] == pytest.approx(17.2)
        assert "17 s" in summarise([metrics.parent])["runs"][0]["about"]
    assert trained_seconds([]) == 0.0


def test_a_run_with_one_of_two_evaluations_has_not_finished(tmp_path):
    """Killed between the two: every restart ended with "measured on different problems"."""
    two = ["arithmetic", "arithmetic(levels=[2])"]
    ablation = ablation_of(tmp_path, a=lopsided(1), b=lopsided(2))
    for arm in ("a", "b"):
        path = tmp_path / "runs" / f"{arm}-s0"
        (path / "config.yaml").write_text(yaml.safe_dump({"eval_data": two, "data": "arithmetic", "eval_size": 10}))
        for when in ("before", "after"):
            save_eval(drawn_evaluation(1, 0.0, 0.5, problems=5, n=2), path / "eval" / when / "arithmetic-levels-2.json")
    half = tmp_path / "runs" / "b-s0"
    assert finished(half)
    (half / "eval" / "after" / "arithmetic-levels-2.json").unlink()
    assert not finished(half)
    found = summarise_ablation(ablation, tmp_path)
    assert found["missing"] == ["b-s0"]
    assert list(found["arms"]) == ["a", "untrained"]
    (half / "eval" / "after" / "arithmetic-levels-2.json").write_text("{")  # torn
    assert not finished(half)
    (tmp_path / "runs" / "a-s0" / "eval" / "before" / "arithmetic.json").unlink()
    assert list(summarise_ablation(ablation, tmp_path)["arms"]) == ["a"]


def test_an_untrained_model_folder_is_no_finished_run(tmp_path):
    ablation_of(tmp_path, a=lopsided())
    assert finished(tmp_path / "runs" / "a-s0")
    (tmp_path / "runs" / "a-s0" / "model").rmdir()
    assert not finished(tmp_path / "runs" / "a-s0")
    assert not finished(tmp_path / "runs" / "none")


def test_the_report_of_an_ablations_folder(tmp_path, cli):
    """`rlvr report AB` was "not a run directory"."""
    folder = tmp_path / "ab"
    ablation_of(folder, a=lopsided(1), b=lopsided(2))
    (folder / "settings").mkdir()
    for arm in ("a", "b"):
        (folder / "settings" / f"{arm}-s0.yaml").write_text("seed: 0\n")
    arms = {"arms": {"a": {}, "b": {}}, "controls": ["untrained"]}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(arms))
    done = cli("report", folder)
    assert done.code == 0
    assert done.out.strip() == str(folder / "report.md")
    text = (folder / "report.md").read_text()
    assert "difference to a" in text
    assert "With 1 seed the intervals are too narrow" in text
    for metric in ("pass-1", "brier", "ece"):
        assert f"plots/forest-{metric}.svg" in text
        svg = (folder / "plots" / f"forest-{metric}.svg").read_text()
        assert ">untrained<" in svg
        assert "use at least 5" in svg
    assert (folder / "differences.csv").read_text().startswith("arm,metric,difference,low,high,p,p_holm\nb,pass@1,")
    save_eval(
        evaluation([{**p, "samples": [sample(True, None)] * 4} for p in lopsided()["problems"]]),
        folder / "runs" / "b-s0" / "eval" / "after" / "arithmetic.json",
    )  # b states no confidence any more
    done = cli("report", folder, "--out", tmp_path / "silent")
    assert done.code == 0
    assert ">b<" in (tmp_path / "silent" / "plots" / "forest-pass-1.svg").read_text()
    assert ">b<" not in (tmp_path / "silent" / "plots" / "forest-brier.svg").read_text()
    assert r"\toprule" in (folder / "differences.tex").read_text()
    done = cli("report", folder, folder / "runs" / "a-s0")
    assert done.code == 2
    assert "report it alone" in done.err
