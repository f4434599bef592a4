"""rlvr ablate: each run once, failures apart, and a table of paired differences."""

import json

import pytest
import yaml

from rlvr.commands.main import main
from rlvr.config.recipe_files import RECIPES
from rlvr.config.settings import TrainConfig, build_config
from rlvr.core.errors import SpecError
from rlvr.models.load import build_tiny, tiny_tokenizer
from rlvr.planning import cost
from rlvr.planning.ablation.arms import read_ablation
from rlvr.planning.ablation.parallel_jobs import jobs_that_fit
from rlvr.planning.ablation.pool import finished
from tests.commands import QUICK, write

BUILT_IN = sorted((RECIPES / "ablations").glob("*.yaml"))


def test_there_are_built_in_ablations():
    assert BUILT_IN


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.stem)
def test_every_built_in_ablation_resolves(path):
    """Every arm under every seed, each run under a name of its own."""
    ablation, written = read_ablation(path), yaml.safe_load(path.read_text())
    names = [run.name for run in ablation.runs]
    assert len(set(names)) == len(names)
    for arm in written["arms"]:
        assert {f"{arm}-s{seed}" for seed in written.get("seeds", [0])} <= set(names)


def test_arms_seeds_controls_and_budgets(tmp_path):
    arms = {"a": {"recipes": ["grpo"]}, "b": {"recipes": ["rlcr"], "set": {"learning_rate": 1e-6}}}
    controls, budget = ["format_only", "untrained"], {"rollouts": 40}
    found = read_ablation(write(tmp_path / "x.yaml", arms=arms, seeds=[3, 4], controls=controls, budget=budget))
    assert [r.name for r in found.runs] == ["a-s3", "b-s3", "format_only-s3", "a-s4", "b-s4", "format_only-s4"]
    assert found.untrained
    b = found.runs[1].settings
    assert (b["learning_rate"], b["seed"], b["rewards"]["brier"]) == (1e-6, 3, 0.5)
    assert (b["max_steps"], b["max_rollouts"]) == (5, 40)  # 8 completions an update
    assert read_ablation(write(tmp_path / "y.yaml", budget={"updates": 7})).runs[0].settings["max_steps"] == 7


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"arm": {}}, "No key of an ablation 'arm'. Did you mean 'arms'"),
        ({"arms": {}}, "names no arms"),
        ({"arms": {"a": {"recipe": ["grpo"]}}}, "Arm 'a': No key of an arm 'recipe'. Did you mean 'recipes'"),
        ({"arms": {"a": {"recipes": ["grpoo"]}}}, "Did you mean 'grpo'"),
        ({"arms": {"a": {"set": {"learning_rat": 1}}}}, "Arm 'a': No setting 'learning_rat'"),
        ({"seeds": [1, 1]}, "different integers"),
        ({"controls": ["random"]}, "Did you mean 'random_reward'"),
        ({"baseline": "b"}, "No arm 'b'"),
        ({"budget": {"steps": 3}}, "budget must be"),
        ({"budget": {"rollouts": 3}}, "one update samples 8 completions, but the budget is 3"),
        ({"arms": {"../../victim": {}}}, "letters, digits and . _ - + only"),
        ({"arms": {"..": {}}}, "letters, digits and . _ - + only"),
        ({"arms": {"a/b": {}}}, "letters, digits and . _ - + only"),
        ({"arms": {"": {}}}, "letters, digits and . _ - + only"),
        ({"arms": {True: {}}}, "Write it in quotes"),
        ({"arms": ["a", "b"]}, "arms must be a mapping"),
        ({"arms": {"a": ["grpo"]}}, "a must be a mapping"),
        ({"arms": {"a": {"recipes": "grpo"}}}, "recipes must be a list, got 'grpo'"),
    ],
)
def test_mistakes_are_named(tmp_path, keys, message):
    with pytest.raises(SpecError) as caught:
        read_ablation(write(tmp_path / "x.yaml", **keys))
    assert message in str(caught.value)


def test_two_arms_two_seeds_once_and_a_failure_apart(tmp_path, capsys):
    model, _ = build_tiny(seed=0, hidden=32, layers=1)
    broken = tmp_path / "broken"
    model.save_pretrained(broken)
    tiny_tokenizer().save_pretrained(broken)
    (broken / "model.safetensors").write_bytes(b"cut off")  # found only when the weights are loaded
    arms = {"a": {"recipes": ["grpo"]}, "hopeless": {"recipes": ["grpo"], "set": {"model": str(broken)}}}
    common = {"seeds": [0, 1], "controls": ["format_only", "untrained"], "budget": {"updates": 1}}
    config = write(tmp_path / "x.yaml", arms=arms, **common)
    argv = ["ablate", "--config", str(config), "--out", str(tmp_path / "out"), "--jobs", "2"]
    assert main(argv) == 1  # the hopeless arm
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Failed: hopeless-s0" in text
    assert "safetensors" in text.lower()
    for name in ("a-s0", "a-s1", "format_only-s0", "format_only-s1"):
        assert finished(tmp_path / "out" / "runs" / name)
    for piece in (
        "difference to a",
        "untrained",
        "format_only  ece ",
        "Not finished: hopeless-s0, hopeless-s1",
        "4 comparisons",
    ):
        assert piece in text, text
    capsys.readouterr()
    changed = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("model.safetensors")}
    del arms["hopeless"]
    write(tmp_path / "x.yaml", arms=arms, **common)
    assert main(argv) == 0
    assert "a-s0 skipped" in capsys.readouterr().err
    assert changed == {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("model.safetensors")}
    write(tmp_path / "x.yaml", arms=arms, seeds=[0, 1], budget={"updates": 2})
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "trained with other settings" in said
    assert "max_steps was 1 and is 2" in said


def test_fewer_runs_at_a_time_where_memory_is_short(tmp_path, monkeypatch, capsys):
    """The larger arm decides; one that cannot be resolved is left out; one run at a time is always tried."""
    arms = {
        "small": {"recipes": ["grpo"]},
        "large": {"recipes": ["grpo"], "set": {"max_completion_length": 400, "per_device_train_batch_size": 32}},
        "lost": {"recipes": ["grpo"], "set": {"data": "jsonl(path='/nowhere.jsonl')"}},
    }
    runs = read_ablation(write(tmp_path / "x.yaml", arms=arms, seeds=[0, 1])).runs
    peaks = {}
    for run in runs:
        if run.arm != "lost" and run.seed == 0:
            shape, job, baseline = cost.resolve_job(build_config(TrainConfig, dict(run.settings)))
            peaks[run.arm] = cost.peak(cost.memory_rows(shape, job, baseline))
    assert peaks["large"] > 1.2 * peaks["small"]
    for free, jobs in ((2.5 * peaks["large"], 2), (1.9 * peaks["large"], 1), (0.5 * peaks["small"], 1)):
        monkeypatch.setattr(cost, "available", lambda device, free=free: free)
        assert jobs_that_fit(runs, 2) == jobs
        assert ("1 instead of 2 runs at a time: large takes" in capsys.readouterr().err) == (jobs == 1)
    assert jobs_that_fit(runs, 1) == 1


def test_the_rollout_budget_ends_a_run(tmp_path):
    """16 completions at 8 an update: two updates, although the recipe asks for ten."""
    argv = [
        "train",
        "--config",
        "grpo",
        "tiny",
        "--max_rollouts",
        "16",
        "--no_report",
        "--output_dir",
        str(tmp_path / "r"),
    ]
    flags = [f for k, v in QUICK.items() for f in (f"--{k}", str(v))]
    assert main([*argv, *flags]) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2]
