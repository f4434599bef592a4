"""A function of the user's measures each finished run; its values are kept, tabulated and compared."""

import importlib.util
import json

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_rel

import rlvr
from rlvr.commands.main import main
from rlvr.core.errors import SpecError
from rlvr.planning.ablation.measure import find_measure, numbers
from tests.fake_run import drawn_evaluation, write_run

FUNCTION = """
import neighbour

def after(run):
    arm, seed = run.name.rsplit("-s", 1)
    score = neighbour.SCORE[arm] + 0.1 * int(seed) ** 2
    right = [1, 0, 1, None] if arm == "a" else [1, 1, 1, 1]
    return {"score": score, "right": right, "note": f"of {run.name}", "path": {"model": (run / "model").is_dir()}}

def broken(run):
    raise ValueError("no such thing")

def a_list(run):
    return [1, 2]

def taken(run):
    return {"brier": 1.0}
"""
ARMS = {"a": {"recipes": ["grpo"]}, "b": {"recipes": ["nsr"]}}
KEYS = {"base": ["tiny"], "set": {"data": "arithmetic", "eval_size": 8}, "arms": ARMS, "seeds": [0, 1, 2]}


@pytest.fixture
def trained(tmp_path):
    """Return an ablation's folder whose six runs have been trained, and the file of the functions."""
    for i, name in enumerate(f"{arm}-s{seed}" for arm in ARMS for seed in KEYS["seeds"]):
        sides = {when: drawn_evaluation(i, 0.0, 0.5, problems=5, n=2) for when in ("before", "after")}
        (write_run(tmp_path / "out" / "runs" / name, **sides, data="arithmetic", steps=4) / "model").mkdir()
    (tmp_path / "mine.py").write_text(FUNCTION)
    (tmp_path / "neighbour.py").write_text("SCORE = {'a': 0.25, 'b': 0.5}")
    return tmp_path / "out", tmp_path / "mine.py"


def lines(folder):
    return {f.stem: [json.loads(x) for x in f.read_text().splitlines()] for f in (folder / "measured").iterdir()}


def test_every_run_is_measured_once_and_compared(trained):
    folder, file = trained
    spec = importlib.util.spec_from_file_location("mine", file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        spec.loader.exec_module(module)
    found = rlvr.ablate(KEYS, folder, measure=module.after, jobs=2)
    assert found.missing == found.failed == []
    assert found.table.loc["a", "score"] == pytest.approx(0.25 + 0.5 / 3)
    assert found.table.loc["a", "right"] == pytest.approx(2 / 3)
    assert found.measured("b", 2) == {
        "score": 0.9, "right": [1, 1, 1, 1], "note": "of b-s2", "path": {"model": True},
    }  # fmt: skip
    gap = found.differences.loc[("b", "score")]
    assert (gap["difference"], gap["low"], gap["high"]) == pytest.approx((0.25, 0.25, 0.25))
    text = (folder / "report.md").read_text()
    assert "score (IQM)" in text and "paired by seed" in text and "4 comparisons" in text
    before = lines(folder)
    assert {name: len(kept) for name, kept in before.items()} == dict.fromkeys(before, 1)
    again = rlvr.ablate(KEYS | {"measure": f"{file}:after"}, folder)
    assert lines(folder) == before and again.table.equals(found.table)


def test_a_changed_function_measures_again_and_the_old_values_stay(trained):
    folder, file = trained
    config = file.parent / "x.yaml"
    config.write_text(yaml.safe_dump(KEYS))
    argv = ["ablate", "--config", str(config), "--out", str(folder), "--measure", f"{file}:after"]
    assert main(argv) == 0
    with (folder / "measured" / "a-s0.jsonl").open("a") as half:
        half.write('{"measure": "cut o')
    noise = "0.01 * (len(arm + seed) + (arm == 'b') * int(seed))"
    file.write_text(FUNCTION.replace("0.1 * int(seed) ** 2", noise))
    assert main(argv) == 0
    kept = (folder / "measured" / "a-s0.jsonl").read_text().splitlines()
    assert [json.loads(kept[i])["values"]["score"] for i in (0, 2)] == pytest.approx([0.25, 0.27])
    gap = rlvr.Ablation(folder).differences.loc[("b", "score")]
    ours, theirs = ([v + 0.02 + (v == 0.5) * 0.01 * s for s in range(3)] for v in (0.5, 0.25))
    expected = ttest_rel(ours, theirs)
    low, high = expected.confidence_interval()
    np.testing.assert_allclose([gap["p"], gap["low"], gap["high"]], [expected.pvalue, low, high])
    assert gap["p_holm"] >= gap["p"]


@pytest.mark.parametrize(
    ("function", "said"), [("broken", "no such thing"), ("a_list", "a dictionary"), ("taken", "Choose another")]
)
def test_a_function_that_fails_is_reported_and_kills_no_run(trained, function, said):
    folder, file = trained
    found = rlvr.ablate(KEYS | {"seeds": [0]}, folder, measure=f"{file}:{function}")
    assert found.failed == ["a-s0", "b-s0"]
    assert said in (folder / "report.md").read_text()
    assert found.measured("a", 0) == {}
    assert found.missing == [] and "score" not in found.table


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("mine.py", "must be path.py:function"),
        ("nowhere.py:f", "no file 'nowhere.py'"),
        (f"{__file__}:f", "has no function 'f'"),
        (lambda run: {}, "at the top level of a file"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(tmp_path, measure, said):
    with pytest.raises(SpecError, match=said):
        rlvr.ablate(KEYS, tmp_path / "out", measure=measure)
    assert not (tmp_path / "out").exists()


def test_numbers_are_those_that_can_be_compared():
    values = {"x": 1, "list": [0.0, None, 1.0], "none": None, "text": "a", "flag": True, "deep": [[1]], "empty": []}
    assert numbers(values).keys() == {"x", "list", "none"}
    assert numbers(values)["list"] == 0.5 and np.isnan(numbers(values)["none"])
    assert find_measure(f"{__file__}:lines").source == find_measure(lines).source


def test_a_token_is_in_no_file_and_reaches_the_runs(trained):
    """settings/<run>.yaml and the copy of the ablation's file held it; folders are shared."""
    folder, file = trained
    file.write_text("import os\ndef token(run): return {'given': os.environ.get('HF_TOKEN') == 'hf_secret'}\n")
    keys = KEYS | {"seeds": [0], "measure": f"{file}:token"}
    keys["arms"] = {"a": ARMS["a"] | {"set": {"hub_token": "hf_secret"}}, "b": ARMS["b"]}
    found = rlvr.ablate(keys, folder)
    assert (found.measured("a", 0), found.measured("b", 0)) == ({"given": True}, {"given": False})
    holding = [path for path in folder.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()]
    assert holding == []
    assert rlvr.ablate(keys, folder).table.equals(found.table)  # the token is no changed setting
