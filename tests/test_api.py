"""The front door: every string of the command from Python, whatever was imported before, and results as objects."""

import json
import subprocess
import sys

import pytest

import rlvr
from rlvr.commands.main import main
from rlvr.core.errors import ModelError, RlvrError, SpecError

QUICK = {
    "train_size": 8, "eval_size": 4, "eval_n": 2, "num_generations": 4, "per_device_train_batch_size": 8,
    "max_completion_length": 12, "max_steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return rlvr.train(
        model="tiny", data="arithmetic(levels=[0])", rewards={"correct": 0.5, "format": 0.5}, advantage="dr_grpo",
        output_dir=tmp_path_factory.mktemp("front") / "run", **QUICK,
    )  # fmt: skip


def test_a_run_from_python_is_the_run_of_the_command(run, tmp_path):
    """Same settings, same completions and credit: the command line that command.txt states makes the same run."""
    import shlex

    argv = shlex.split((run.path / "command.txt").read_text())[1:]
    argv[argv.index("--output_dir") + 1] = str(tmp_path / "run")
    assert main([*argv, "--no_report"]) == 0
    again = rlvr.Run(tmp_path / "run")
    assert again.config == run.config
    assert again.rollouts.equals(run.rollouts)
    assert again.metrics["loss"].tolist() == run.metrics["loss"].tolist()
    assert again.after.record["problems"] == run.after.record["problems"]


def test_an_evaluation_of_a_run_is_measured_as_the_run_measured_itself(run):
    found = rlvr.evaluate(run)
    assert found.record["problems"] == run.after.record["problems"]
    assert run.after.compare(found).notes == []
    assert rlvr.evaluate(run, n=3, size=2).n == 3
    assert rlvr.evaluate(run, "arithmetic(levels=[1])", size=2).data == "arithmetic(levels=[1])"


def test_a_run_goes_on_where_it_stopped(run, tmp_path):
    """Two steps and two more; "auto" starts a run, leaves a finished one alone, and refuses another model."""
    same = {"model": "tiny", "data": "arithmetic(levels=[0])", "rewards": {"correct": 0.5, "format": 0.5},
            "advantage": "dr_grpo", "output_dir": tmp_path / "run", **QUICK}  # fmt: skip
    saved = {"save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "constant"}
    first = rlvr.train(**same, **saved, resume="auto")
    assert first.metrics.index.tolist() == [1, 2]
    written = first.path.stat().st_mtime_ns
    assert rlvr.train(**same, **saved, resume="auto").path == first.path
    assert first.path.stat().st_mtime_ns == written
    assert rlvr.train(resume=first.path, max_steps=3).metrics.index.tolist() == [1, 2, 3]
    with pytest.raises(RlvrError, match="model is 'tiny', asked for"):
        rlvr.train(resume=first.path, model="smollm2-135m-instruct")


def test_models_of_every_kind_are_measured(run):
    """A spec, a folder, and a loaded model with its tokenizer, which stays in the mode that it had."""
    settings = {"data": "arithmetic(levels=[0])", "n": 2, "size": 3, "max_completion_length": 12}
    model, tokenizer = rlvr.load_model(str(run.model))
    model.train()
    loaded = rlvr.evaluate(model, tokenizer=tokenizer, **settings)
    assert model.training
    folder = rlvr.evaluate(run.model, **settings)
    assert loaded.record["problems"] == folder.record["problems"]
    assert folder.record["model"] == str(run.model)
    assert rlvr.evaluate("tiny", **settings).record["model"] == "tiny"
    with pytest.raises(ModelError, match="comes with its tokenizer"):
        rlvr.evaluate(model, **settings)
    with pytest.raises(ModelError, match="Cannot sample from a dict"):
        rlvr.evaluate({}, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_step": 3}, "No setting 'max_step'. Did you mean 'max_steps'"),
        ({"model": "tinny"}, "Did you mean 'tiny'"),
        ({"data": "arithmetik"}, "Did you mean 'arithmetic'"),
        ({"rewards": {"breir": 1.0}}, "Did you mean 'brier'"),
        ({"advantage": "gprpo"}, "Did you mean 'grpo'"),
        ({"config": "gprpo"}, "No recipe 'gprpo'. Did you mean 'grpo'"),
        ({"rewards": {print: 1.0}}, "A function of yours goes by its file"),
        ({"advantage": print}, "Built objects go into RLVRTrainer"),
    ],
)
def test_mistakes_are_named_before_anything_is_loaded(settings, message):
    with pytest.raises((SpecError, ModelError)) as caught:
        rlvr.train(**{"model": "tiny", **settings})
    assert message in str(caught.value)


def test_an_unknown_setting_of_an_evaluation_is_named():
    with pytest.raises(SpecError, match="Did you mean 'temperature'"):
        rlvr.evaluate("tiny", temperatur=0.5)
    with pytest.raises(SpecError, match="one alpha"):
        rlvr.evaluate("tiny", alpha=[0.0, 1.0])


def test_settings_in_pythons_own_types_are_written_as_a_recipe_holds_them(monkeypatch):
    """Recipes merge as on the command line; tuples, NumPy numbers and built chains end up readable in config.yaml."""
    import numpy as np

    from rlvr.commands import api
    from rlvr.config.settings import to_yaml

    seen = []
    monkeypatch.setattr(api, "train_run", lambda *args: seen.append(args) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rlvr.train(
            config=["rlcr", "tiny"], tags=("answer",), rewards={rlvr.Term(_spec("correct")): np.float64(0.5)},
            max_steps=np.int64(3), advantage=rlvr.build("grpo, drop_truncated"),
        )  # fmt: skip
    ((plan, recipes, argv, _),) = seen
    assert recipes == ["rlcr", "tiny"]
    text = to_yaml(plan.config)
    assert "max_steps: 3\n" in text
    assert "correct: 0.5\n" in text
    assert "tags:\n- answer\n" in text
    assert repr(plan.advantage) == repr(rlvr.build("grpo, drop_truncated"))
    assert argv[:7] == ["rlvr", "train", "--config", "rlcr", "tiny", "--rewards", json.dumps({"correct": 0.5})]


def _spec(text):
    from rlvr.core.specs import parse_spec

    return parse_spec(text)


ORDERS = {
    "the package alone": "import rlvr",
    "the modules first": "from rlvr.train import train; import rlvr.measure.evaluate; import rlvr",
    "from the package": "from rlvr import train, evaluate; import rlvr; assert rlvr.train is train",
}


CALLS = """
for name, kwargs in (("train", {"max_step": 1}), ("evaluate", {"model": "tiny", "temperatur": 1})):
    for _ in range(2):  # the first call imports the modules
        try:
            getattr(rlvr, name)(**kwargs)
        except rlvr.RlvrError as error:
            assert "Did you mean" in str(error), error
        else:
            raise SystemExit(1)
import inspect
assert "advantage" in inspect.signature(rlvr.train).parameters
"""


def test_train_and_evaluate_are_called_in_any_order_of_imports():
    """Importing the module rlvr/train.py binds `rlvr.train`; it must stay callable before and after."""
    code = f"""
import os
from trl import GRPOConfig, GRPOTrainer  # the libraries once, which takes seconds; rlvr anew in each child
for name, order in {ORDERS!r}.items():
    child = os.fork()
    if child == 0:
        exec(order + {CALLS!r}, {{}})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
