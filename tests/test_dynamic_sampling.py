"""Dynamic sampling: the batch fills with mixed groups, nothing is lost or counted twice, and it resumes exactly."""

import itertools

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from rlvr.advantages import build
from rlvr.commands.main import main
from rlvr.core.errors import SpecError
from rlvr.core.records import Completion
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.pass_rate import PassRate
from rlvr.training.batch import GenerationBatch
from rlvr.training.curriculum.dynamic_sampling import Sample, ask_for, fill, is_mixed
from rlvr.training.curriculum.fresh_problems import FreshProblems
from rlvr.training.trainer import RLVRTrainer
from tests.commands import WARM, free_port
from tests.conftest import run_apart
from tests.parity_problems import GROUP, PROBLEMS, PROMPTS, shaped, trainer


def batch_of(made):
    torch.manual_seed(9)
    made.model.train()
    made.current_gradient_accumulation_steps = 1
    return made._generate_and_score_completions(next(iter(made.get_train_dataloader())))


def group(verdicts):
    return [Sample({}, 1, [1], None, None, Completion(PROBLEMS["0"], "", correct=v)) for v in verdicts]


# ------------------------------------------------------------------ the filling, without a trainer


def test_mixed_reads_verdicts_and_ignores_failures():
    """Every group of three verdicts (right, wrong, failed): mixed means 0 < right < judged."""
    for verdicts in itertools.product([True, False, None], repeat=3):
        judged = [v for v in verdicts if v is not None]
        assert is_mixed(group(verdicts)) == (0 < sum(judged) < len(judged))


def test_ask_for_expects_to_fill_the_batch():
    assert ask_for(missing=3, sampled=10, mixed=4, most=10) == 8  # 3 / 0.4 = 7.5
    assert ask_for(missing=3, sampled=10, mixed=1, most=10) == 10  # 30 would be more than a batch
    assert ask_for(missing=3, sampled=3, mixed=0, most=3) == 3


@settings(max_examples=80, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 6), st.integers(0, 4))
def test_fill_against_brute_force(stream, want, tries):
    """Groups come one after another, mixed or not: the batch holds the first mixed ones, and no group is lost."""
    groups = [group([True, False]) if good else group([False, False]) for good in [*stream, *[False] * want]]
    position, calls = want, 0

    def more(n):
        nonlocal position, calls
        calls += 1
        assert 1 <= n <= want
        found = groups[position : position + n]
        position += len(found)
        return found

    filled = fill(groups[:want], tries, more)
    mixed = [g for g in groups[:position] if is_mixed(g)]
    assert filled.batch[: want - filled.unfilled] == mixed[:want]
    assert filled.unfilled == max(0, want - len(mixed))
    assert not any(is_mixed(g) for g in filled.batch[want - filled.unfilled :])
    assert len(filled.batch) == want
    assert sorted(map(id, filled.batch + filled.thrown)) == sorted(map(id, groups[:position]))
    assert filled.tries <= calls <= tries
    if filled.unfilled:  # it gave up for a reason
        assert filled.tries == tries or position == len(groups)


def test_metrics_by_hand():
    """Batch of two: one mixed at once (1 of 2 right), one found in the first try; an all-right group thrown away."""
    first, fresh = [group([True, False]), group([True, True])], [group([False, True])]
    filled = fill(first, 3, lambda n: fresh)
    assert filled.metrics() == {
        "dynamic/tries": 1,
        "dynamic/rollouts": 6,
        "dynamic/thrown_away": 1,
        "dynamic/filled": 1.0,
        "dynamic/accuracy": 4 / 6,
    }
    assert filled.thrown_tokens == 2 * (1 + 1)


def test_fresh_problems_are_dealt_once_a_pass_and_resume_by_position():
    fresh = FreshProblems(5, seed=1)
    one, two = fresh.take(5), fresh.take(5)
    assert sorted(one) == sorted(two) == list(range(5))
    assert one != two
    assert sorted(fresh.take(9, exclude={0, 1})) == [2, 3, 4]  # no more than there are
    again, rest = FreshProblems(5, seed=1), FreshProblems(5, seed=1)
    rest.position = 3
    assert again.take(3) + rest.take(2) + rest.take(2) == [*one, *two[:2]]
    assert FreshProblems(5, seed=2).take(5) != one


# ------------------------------------------------------------------ through the trainer


def test_the_batch_fills_with_mixed_groups_and_counts_each_completion_once(tmp_path):
    made = trainer(tmp_path, 5, rollouts=tmp_path / "rollouts")
    (tmp_path / "rollouts").mkdir()
    out = batch_of(made)
    assert len(out["completion_ids"]) == GROUP * PROMPTS
    metrics = {name: values for name, values in made._metrics["train"].items() if not name.startswith("sampling/")}
    assert all(len(values) == 1 for values in metrics.values()), metrics  # each once, however many tries
    assert metrics["groups/mixed"] == metrics["dynamic/filled"] == [1.0]
    assert metrics["dynamic/tries"][0] >= 1
    rollouts = metrics["dynamic/rollouts"][0]
    assert rollouts == GROUP * (PROMPTS + metrics["dynamic/thrown_away"][0])
    assert len(made._logs["completion"]) == len(made._logs["advantages"]) == GROUP * PROMPTS
    # What was thrown away is in the record, in the file and in the tokens that were paid for.
    assert sum(n for n, _ in made.record.counts.values()) == rollouts
    rows = pq.read_table(tmp_path / "rollouts" / "step-00001.parquet").to_pylist()
    assert len(rows) == rollouts
    assert PassRate.from_rollouts(tmp_path / "rollouts") == made.record
    assert {r["dropped_by"] for r in rows[GROUP * PROMPTS :]} == {"thrown_away"}
    assert not any(r["keep"] for r in rows[GROUP * PROMPTS :])
    prompt = len(made._tokenize_prompts([rows[0]["prompt"]])[0][0])
    assert made.state.num_input_tokens_seen > sum(r["n_tokens"] for r in rows) + prompt
    ids = [r["problem_id"] for r in rows[::GROUP]]
    assert len(set(ids)) == len(ids)  # fresh: no problem twice in one batch
    # Only tosses are mixed, though every group has spread in its reward.
    assert {int(r["problem_id"]) % 3 for r in rows[: GROUP * PROMPTS]} == {2}


def test_what_cannot_be_filled_takes_no_part(tmp_path, capsys):
    """Two tosses among six problems: two groups stay all right or all wrong, and leave the loss and its divisor."""
    made = trainer(tmp_path, 3, rows=6)
    out = batch_of(made)
    assert made._metrics["train"]["dynamic/filled"] == [0.5]
    assert made._metrics["train"]["dropped/dynamic_sampling"] == [0.5]
    assert "2 of 4 groups are all right or all wrong; they take no part" in capsys.readouterr().err
    used = (out["completion_mask"] * out["tool_mask"]).any(1)
    assert used.view(PROMPTS, GROUP).all(1).tolist() == [True, True, False, False]
    assert not out["advantages"].view(PROMPTS, GROUP)[2:].any()
    assert out["advantages"].view(PROMPTS, GROUP)[:2].any(1).all()
    assert out["num_items_in_batch"] == out["completion_mask"].view(PROMPTS, GROUP, -1)[:2].sum()


def test_known_completions_train_like_sampled_ones(tmp_path):
    """Where every group is mixed at once, the batch is the one without dynamic sampling, to the bit."""
    outs = []
    for tries in (0, 3):
        made = trainer(tmp_path, tries, steps_per_generation=2)
        made.scorer = type("Alternate", (), {"tags": (), "__call__": lambda self, ps, ts, ns, cut: [
            Completion(p, t, correct=i % 2 == 0, n_tokens=n) for i, (p, t, n) in enumerate(zip(ps, ts, ns, strict=True))
        ]})()  # fmt: skip
        outs.append(batch_of(made))
    assert made._metrics["train"]["dynamic/rollouts"] == [2 * GROUP * PROMPTS]
    assert made.choose.position == 0
    assert outs[0].keys() == outs[1].keys() >= {"old_per_token_logps"}
    for key, value in outs[0].items():
        assert torch.equal(value, outs[1][key]), key


def test_each_try_draws_its_own_noise(tmp_path):
    made = trainer(tmp_path, 3)
    rows = [{"prompt": PROBLEMS["2"].prompt, "id": "2"}] * GROUP
    made.model.train()
    batch = made.batch = GenerationBatch(group_size=GROUP)
    one, two = (made._sample_groups(batch, rows)[0] for _ in range(2))
    assert [s.ids for s in one] != [s.ids for s in two]


def test_it_needs_a_verdict(tmp_path):
    made = trainer(tmp_path, 0)
    with pytest.raises(SpecError, match="needs a scorer"):
        RLVRTrainer(
            made.model, args=made.args.__class__(**{"output_dir": str(tmp_path), "dynamic_sampling_tries": 1, "bf16": False}),
            train_dataset=made.train_dataset, processing_class=made.processing_class, reward_funcs=[shaped],
            advantage=build("grpo"),
        )  # fmt: skip


def test_resume_is_exact_inside_a_generation_window(tmp_path):
    """Two updates per generation batch, saved after the third: buffer, cursor and record must all come back."""
    common = {"steps_per_generation": 2, "gradient_accumulation_steps": 1, "save_strategy": "steps", "save_steps": 3}
    common |= {"per_device_train_batch_size": GROUP * PROMPTS // 2, "record_discount": 0.9}
    whole = trainer(tmp_path / "whole", 2, steps=6, **common)
    whole.train()
    trainer(tmp_path / "cut", 2, steps=3, **common).train()
    second = trainer(tmp_path / "cut", 2, steps=6, **common)
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-3"))
    assert second.state.global_step == 6
    assert second.record == whole.record
    assert second.choose.position == whole.choose.position > 0
    for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)


# ------------------------------------------------------------------ through the command

FLAGS = [
    "dapo", "tiny", *WARM, "--max_steps", "3", "--eval_size", "0", "--num_generations", "4", "--no_report", "--use_cpu", "true",
    "--per_device_train_batch_size", "16", "--train_size", "48", "--learning_rate", "1e-3",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("dapo")
    assert main(["train", "--config", *FLAGS, "--output_dir", str(folder / "one")]) == 0
    return RunDir(folder / "one")


def test_the_recipe_trains_on_mixed_groups(run):
    metrics = read_metrics(run.metrics)
    assert [m["step"] for m in metrics] == [1, 2, 3]
    assert any(m["dynamic/tries"] > 0 and m["dynamic/filled"] > 0 for m in metrics)
    for m in metrics:
        assert m["groups/mixed"] == pytest.approx(m["dynamic/filled"])
        assert m["kept"] == pytest.approx(m["dynamic/filled"])
    tables = [pq.read_table(f).to_pylist() for f in sorted(run.rollouts.glob("*.parquet"))]
    assert [len(t) for t in tables] == [m["dynamic/rollouts"] for m in metrics]
    assert PassRate.from_rollouts(run.rollouts) == PassRate.from_parquet(run.difficulty)


@pytest.mark.slow  # test_two_processes.py is the fast one of two processes
def test_two_processes_choose_what_one_does(run):
    """gloo, 2 x 8 completions: the same problems are sampled, thrown away and trained on, with the same result."""
    two = RunDir(run.path.parent / "two")
    start = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port(), "-m", "rlvr")
    flags = ["--per_device_train_batch_size", "8", "--output_dir", two.path]
    done = run_apart("train --config", *FLAGS, *flags, start=start, OMP_NUM_THREADS=1)
    assert done.code == 0, done.err[-3000:]
    columns = ["step", "group", "problem_id", "completion", "correct", "keep", "dropped_by"]
    ours, theirs = (
        [pq.read_table(f, columns=columns).to_pylist() for f in sorted(r.rollouts.glob("*"))] for r in (run, two)
    )
    assert ours == theirs
    for a, b in zip(read_metrics(run.metrics), read_metrics(two.metrics), strict=True):
        for key in ("dynamic/rollouts", "dynamic/filled", "dynamic/accuracy", "num_tokens", "accuracy", "kept"):
            assert a[key] == pytest.approx(b[key]), key
    a, b = (load_file(r.model / "model.safetensors") for r in (run, two))
    apart = torch.cat([(a[k] - b[k]).abs().flatten() for k in a])
    assert apart.mean() < 1e-6
