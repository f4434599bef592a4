"""Every recipe trains: two real steps of each signal on `tiny`, in this process, from one shared warm-up."""

import math

import pytest
import yaml

from rlvr.commands.main import main
from rlvr.config.recipe_files import RECIPES, read_recipes
from rlvr.runs.directory import RunDir, read_metrics
from tests.commands import ADDONS, OPTIMIZERS, SCALES, WARM, WHOLE, undocumented

SIGNALS = sorted(p.stem for p in RECIPES.glob("*.yaml") if p.stem not in (*SCALES, *ADDONS, *WHOLE))
SMALL = [
    *WARM, "--max_steps", "2", "--train_size", "4", "--eval_size", "0", "--per_device_train_batch_size", "8",
    "--num_generations", "4", "--no_report",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("cache")


def trained(folder, *argv):
    """Run `rlvr train` and return its run directory and the rows of metrics.jsonl."""
    assert main(["train", *argv, "--output_dir", str(folder)]) == 0
    return RunDir(folder), read_metrics(folder / "metrics.jsonl")


@pytest.mark.parametrize("name", SIGNALS)
def test_a_recipe_trains_and_logs_nothing_undocumented(name, tmp_path):
    settings = read_recipes([name])
    extra = ["--profile_n", "2"] if "profile_n" in settings else []
    run, rows = trained(tmp_path / name, "--config", name, "tiny", *SMALL, *extra)
    assert [row["step"] for row in rows] == [1, 2]
    assert all(math.isfinite(row[key]) for row in rows for key in ("loss", "grad_norm"))
    assert len(list(run.rollouts.glob("*.parquet"))) == 2 // settings.get("num_iterations", 1)
    used = yaml.safe_load(run.config.read_text())
    assert used["advantage"] == settings["advantage"] and used["rewards"] == settings["rewards"]
    assert "accuracy" in rows[0]
    assert undocumented(rows) == set()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_its_own_trains(name, tmp_path):
    run, rows = trained(tmp_path / name, "--config", "grpo", "tiny", name, *SMALL)
    assert all(math.isfinite(row["loss"]) for row in rows)
    used = yaml.safe_load(run.config.read_text())
    assert read_recipes([name]).items() <= used.items()


def test_inverse_problems_train(tmp_path):
    _, rows = trained(
        tmp_path / "run", "--config", "grpo", "tiny", *SMALL, "--sft_steps", "40", "--data", "inverse(levels=[0])"
    )
    assert all(0 <= row["answers/echo"] <= 1 for row in rows)
