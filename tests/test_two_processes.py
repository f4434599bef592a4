"""One process against two (gloo, CPU), replicated and sharded: the same batch gives the same numbers and weights."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from rlvr.models.load import load_model
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.eval_file import load_eval
from tests.commands import free_port
from tests.conftest import run_apart
from tests.whole_groups_apart import LENGTHS

FLAGS = [
    "--config", "rlcr", "tiny", "--sft_steps", "80", "--max_steps", "3", "--eval_size", "5", "--eval_n", "2",
    "--train_size", "32", "--num_generations", "4", "--learning_rate", "1e-3", "--no_report",
]  # fmt: skip


def launched(module: str) -> list[str]:
    """Return the start of a command for two processes that run a module."""
    return ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port(), "-m", module]


@pytest.fixture(scope="module", params=["cpu", pytest.param("gpus", marks=pytest.mark.device)])
def where(request):
    """Flags that say where: two CPU processes, or two GPUs if there are (float32, so that the numbers can agree)."""
    if request.param == "cpu":
        return ["--use_cpu", "true"]
    if torch.accelerator.device_count() < 2:
        pytest.skip("fewer than two accelerators here; where there are two, run scripts/gpu_check.py")
    return ["--bf16", "false"]


on_cpu = pytest.mark.parametrize("where", ["cpu"], indirect=True)  # tests.fsdp_on_cpu shards there


@pytest.fixture(scope="module")
def train(tmp_path_factory, where):
    """Train into a folder of that name and return the run; all share the warm-up that the first one makes."""
    folder = tmp_path_factory.mktemp("two")
    env = {"RLVR_CACHE": folder / "cache", "OMP_NUM_THREADS": 1}

    def train(name: str, start: list[str], rows: int, *flags: str) -> RunDir:
        out = ["--per_device_train_batch_size", str(rows), "--output_dir", str(folder / name)]
        done = run_apart("train", *FLAGS, *where, *out, *flags, start=start, **env)
        assert done.code == 0, done.err[-3000:]
        return RunDir(folder / name)

    return train


@pytest.fixture(scope="module")
def runs(train):
    """The same run with 1 x 16 and with 2 x 8 completions; the two processes make the warm-up."""
    two = train("two", launched("rlvr"), 8)
    return train("one", ["-m", "rlvr"], 16), two


def test_rollouts_rewards_and_advantages_are_the_same(runs):
    rows = [[r for f in sorted(run.rollouts.glob("*.parquet")) for r in pq.read_table(f).to_pylist()] for run in runs]
    assert len(rows[0]) == len(rows[1]) == 48  # gathered on the main process, none twice
    for one, two in zip(*rows, strict=True):
        for key in ("problem_id", "completion", "correct", "confidence", "keep"):
            assert one[key] == two[key], key
        assert one["reward"] == pytest.approx(two["reward"], abs=1e-6)
        assert one["advantage"] == pytest.approx(two["advantage"], abs=1e-5)
    assert any(r["advantage"] for r in rows[0])


def test_metrics_and_weights_agree_within_rounding(runs):
    one, two = (read_metrics(run.metrics) for run in runs)
    assert [r["step"] for r in two] == [1, 2, 3]  # one writer
    for a, b in zip(one, two, strict=True):
        for key in ("reward", "accuracy", "format_rate", "groups/mixed", "kept", "completions/mean_length"):
            assert a[key] == pytest.approx(b[key], abs=1e-6), key
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)
    assert any(r["grad_norm"] for r in one)
    a, b = (load_file(run.model / "model.safetensors") for run in runs)
    # three Adam steps of at most 1e-3 each: a summation order may flip the sign of a vanishing gradient, rarely
    apart = torch.cat([(a[k] - b[k]).abs().flatten() for k in a])
    assert apart.mean() < 1e-6 and apart.max() <= 6.1e-3


def test_record_and_evaluations_are_the_same(runs):
    one, two = (pq.read_table(run.difficulty).to_pylist() for run in runs)
    assert one == two
    for when in ("before", "after"):
        a, b = (load_eval(next((run.path / "eval" / when).glob("*.json"))) for run in runs)
        assert [p["id"] for p in a["problems"]] == [p["id"] for p in b["problems"]]
        assert [p["n"] for p in b["problems"]] == [2] * 5  # each process measured its share: 2 and 3 problems
        if when == "before":
            assert [p["samples"] for p in a["problems"]] == [p["samples"] for p in b["problems"]]
            assert a["sampled_tokens"] == b["sampled_tokens"]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_term_sees_its_whole_group_or_the_whole_batch_wherever_they_were_sampled(processes, tmp_path):
    """Each group is judged once, by one process, though half of the second was sampled in the other one."""
    start = launched("tests.whole_groups_apart") if processes == 2 else ["-m", "tests.whole_groups_apart"]
    done = run_apart("", tmp_path, start=start, OMP_NUM_THREADS=1)
    assert done.code == 0, done.err[-3000:]
    told = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(processes)]
    for sees, size in (("group", 4), ("batch", 12)):
        units = [LENGTHS[i : i + size] for i in range(0, 12, size)]
        assert sorted(unit for one in told for unit in one[sees]["shown"]) == sorted(units)
        by_hand = [sum(other > n for other in unit) / size for unit in units for n in unit]
        assert [value for one in told for value in one[sees]["values"]] == by_hand


@pytest.mark.slow
@on_cpu
def test_group_and_batch_rewards_of_a_run_are_the_same(train, tmp_path):
    """Six completions in each of two processes, groups of four: the rollouts file has the values by hand, in both runs."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "def shorter(group): return [sum(o.n_tokens > c.n_tokens for o in group) / len(group) for c in group]\n"
        "def rank(batch): return [sum(o.n_tokens > c.n_tokens for o in batch) / len(batch) for c in batch]\n"
    )
    rewards = json.dumps({"correct": 1.0, f"{mine}:shorter": 0.3, f"{mine}:rank": 0.3})
    flags = ("--rewards", rewards, "--allow_hackable", "true", "--eval_size", "0", "--max_steps", "2")
    for run in (train("groups-one", ["-m", "rlvr"], 12, *flags), train("groups-two", launched("rlvr"), 6, *flags)):
        files = sorted(run.rollouts.glob("*.parquet"))
        assert files
        for file in files:
            table = pq.read_table(file).to_pydict()
            lengths = table["n_tokens"]
            assert len(lengths) == 12 and len(set(lengths)) > 1
            groups = [lengths[i : i + 4] for i in (0, 4, 8)]
            assert table["term/shorter"] == pytest.approx([sum(m > n for m in g) / 4 for g in groups for n in g])
            assert table["term/rank"] == pytest.approx([sum(m > n for m in lengths) / 12 for n in lengths])


@on_cpu
def test_fsdp2_trains_saves_and_loads_whole(train):
    """Sharded over two CPU processes: half of the weights each, and what is saved is the model that was trained.

    The evaluation has one problem for two processes, so that one of them has none.
    """
    run = train("sharded", launched("tests.fsdp_on_cpu"), 8, "--eval_size", "1")
    sharded = torch.load(run.model / "sharded.pt", weights_only=True)
    assert 0.4 < sharded["share"] < 0.6
    whole, _ = load_model(str(run.model))
    with torch.no_grad():
        torch.testing.assert_close(whole(torch.arange(1, 17)[None]).logits, sharded["logits"], rtol=1e-5, atol=1e-5)
    assert [r["step"] for r in read_metrics(run.metrics)] == [1, 2, 3]
    assert any(r["grad_norm"] for r in read_metrics(run.metrics))
    assert len(load_eval(next((run.path / "eval" / "after").glob("*.json")))["problems"]) == 1


@pytest.mark.slow
@on_cpu
def test_fsdp2_gives_the_weights_of_replicated_training(train):
    """The same sampler (TRL's, which gathers sharded weights): sharding may only change the rounding."""
    flags = ("--engine", "trl", "--eval_size", "0")
    sharded = train("sharded-trl", launched("tests.fsdp_on_cpu"), 8, *flags)
    replicated = train("replicated-trl", launched("rlvr"), 8, *flags)
    a, b = (load_file(run.model / "model.safetensors") for run in (sharded, replicated))
    apart = torch.cat([(a[k] - b[k]).abs().flatten() for k in b])
    assert apart.mean() < 1e-6 and apart.max() <= 6.1e-3
    one, two = (read_metrics(run.metrics) for run in (sharded, replicated))
    assert [r["reward"] for r in one] == pytest.approx([r["reward"] for r in two], abs=1e-6)
