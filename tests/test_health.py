"""Whether a run could learn: each verdict on both sides of its threshold, where it is shown, and what is logged for it."""

import itertools
import math
import shutil
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlvr
from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.report import write_report
from rlvr.report.summarise import summarise
from rlvr.runs.directory import read_metrics
from rlvr.training.batch import GenerationBatch
from rlvr.training.batch_metrics import effective_completions
from rlvr.training.health import COSINE, accuracy_lost, completions_needed, health_checks, health_verdict
from tests.conftest import REPO

GOOD = {
    "accuracy": 0.4, "groups/mixed": 0.6, "groups/all_right": 0.2, "groups/all_wrong": 0.2, "learning_rate": 1e-4,
    "health/gradient_cosine": 0.4, "health/completions": 64.0, "health/effective_completions": 40.0,
}  # fmt: skip


def rows(*changes, n=20, first=None):
    """Return n steps of a healthy run; `changes` at all of them, `first` at the first one alone."""
    row = {key: value for change in (GOOD, *changes) for key, value in change.items()}
    return [{"step": i, **row, **(first or {} if i == 1 else {})} for i in range(1, n + 1)]


def test_a_healthy_run_is_healthy():
    assert health_verdict(rows()) == "healthy"
    assert all(check.measured and not check.wrong for check in health_checks(rows()))


@pytest.mark.parametrize(
    ("unhealthy", "harmless", "words"),
    [
        ({"groups/all_right": 0.96, "groups/mixed": 0.02}, {"groups/all_right": 0.89},
         "ceiling: 96% of groups are all right, so there is little to learn; take harder problems"),
        ({"groups/all_wrong": 0.95, "groups/mixed": 0.05}, {"groups/all_wrong": 0.89}, "floor: 95% of groups are all wrong"),
        ({"health/gradient_cosine": 0.02}, {"health/gradient_cosine": 0.3},
         "too noisy: 64 completions an update, cosine 0.02; use 1024 or more"),
        ({"health/gradient_cosine": 0.2}, {"health/gradient_cosine": 0.31},
         "too noisy: 64 completions an update, cosine 0.20; use 128"),
        ({"groups/mixed": 0.3, "health/effective_completions": 19.0}, {"groups/mixed": 0.5},
         "few mixed groups: 30% hold right and wrong completions; 19 of 64 completions carry credit"),
    ],
)  # fmt: skip
def test_each_verdict_on_both_sides_of_its_threshold(unhealthy, harmless, words):
    assert health_verdict(rows(unhealthy)).startswith(words)
    assert health_verdict(rows(harmless)) == "healthy"


def test_few_mixed_groups_are_no_trouble_where_most_completions_carry_credit():
    """NSR, or a reward with a Brier term: groups that are all wrong teach too."""
    assert health_verdict(rows({"groups/mixed": 0.3})) == "healthy"


def test_accuracy_lost_in_the_first_updates():
    lost = health_verdict(rows({"accuracy": 0.16}, first={"accuracy": 0.245}))
    assert lost == (
        "lost 0.09 accuracy in its first updates: warm the learning rate up "
        "(--lr_scheduler_type constant_with_warmup --warmup_steps 10)"
    )
    warmed = health_verdict(rows({"accuracy": 0.16}, first={"accuracy": 0.245, "learning_rate": 1e-5}))
    assert warmed == "lost 0.09 accuracy in its first updates: lower --learning_rate"
    assert health_verdict(rows({"accuracy": 0.38}, first={"accuracy": 0.399})) == "healthy"


def test_a_loss_within_the_noise_of_its_batches_is_none():
    noisy = [{**row, "accuracy": 0.3 + 0.2 * (i % 2)} for i, row in enumerate(rows())]
    noisy[0]["accuracy"] = 0.6
    assert accuracy_lost(noisy)[0] > 0.15
    assert health_verdict(noisy) == "healthy"


@given(st.lists(st.floats(0, 1), min_size=4, max_size=11))
def test_the_loss_and_its_error_by_their_definition(values):
    lost, error = accuracy_lost([{"step": i, "accuracy": a} for i, a in enumerate(values, 1)])
    after = values[1:]
    variance = statistics.mean((b - a) ** 2 for a, b in itertools.pairwise(after)) / 2
    assert lost == pytest.approx(values[0] - statistics.mean(after), abs=1e-12)
    assert error == pytest.approx(math.sqrt(variance + variance / len(after)), abs=1e-12)


@pytest.mark.parametrize("known", [rows(n=3), rows()[1:], rows({"accuracy": None})])
def test_without_the_first_batch_or_enough_after_it_nobody_knows_the_loss(known):
    assert math.isnan(accuracy_lost(known)[0])


def test_a_run_that_learned_to_the_ceiling_is_told_apart_from_one_that_began_there():
    learned = rows()[:10] + rows({"groups/all_right": 0.95, "groups/mixed": 0.05})
    assert health_verdict(learned).startswith("ended at the ceiling: 95% of groups are all right")
    died = rows()[:10] + rows({"groups/all_wrong": 0.95, "groups/mixed": 0.05})
    assert health_verdict(died).startswith("ended at the floor")


def test_several_troubles_are_one_line():
    line = health_verdict(rows({"health/gradient_cosine": 0.0, "accuracy": 0.1}, first={"accuracy": 0.4}))
    assert line.startswith("lost 0.30 accuracy") and "; too noisy: 64 completions" in line and "\n" not in line


def test_what_was_not_measured_is_said():
    silent = [{k: v for k, v in row.items() if not k.startswith("health/")} for row in rows()]
    assert health_verdict(silent) == (
        "healthy as far as was measured; n/a: cosine of the gradients of two halves of a batch "
        "(it takes one process and --gradient_accumulation_steps 2 or more)"
    )
    assert health_verdict(rows(n=3)).startswith("unknown: 3 updates say what was right")
    assert health_verdict([]).startswith("unknown: 0 updates")


@pytest.mark.parametrize("cosine", [0.05, 0.1, 0.2, 0.29])
def test_with_the_completions_that_it_asks_for_the_cosine_is_enough_and_with_half_of_them_not(cosine):
    """Halves of a batch with B completions: cosine S / (S + V / B) of draws with signal S and variance V."""
    needed, enough = completions_needed(64, cosine)
    noise = 64 * (1 - cosine) / cosine  # V where S = 1
    assert enough
    assert 1 / (1 + noise / needed) >= COSINE > 1 / (1 + noise / (needed / 2))


def test_the_cosine_of_noisy_halves_is_signal_over_signal_and_noise():
    """The formula behind the advice, by simulation: unit signal in 2,000 dimensions, halves of 32 draws each."""
    torch.manual_seed(1)
    signal, spread, cosines = torch.zeros(2000), 0.25, []
    signal[0] = 1.0
    for _ in range(50):
        one, two = (signal + spread * torch.randn(32, 2000).mean(0) for _ in range(2))
        cosines.append(torch.nn.functional.cosine_similarity(one, two, dim=0).item())
    assert statistics.mean(cosines) == pytest.approx(1 / (1 + 2000 * spread**2 / 32), abs=0.02)


# ------------------------------------------------------------------ what is logged


def batch_of(rewards, advantage=None, updates=1.0):
    batch = GenerationBatch(updates=updates)
    batch.rollouts = Rollouts.of(rewards)
    batch.signal = build(advantage)(batch.rollouts, Signal.start(batch.rollouts)) if advantage else None
    return batch


@pytest.mark.parametrize(
    ("advantage", "useful"),
    [(None, 4), ("grpo", 4), ("nsr", 6), ("psr", 2), ("grpo, drop_zero_signal", 4)],
)
def test_completions_that_carry_credit_are_counted(advantage, useful):
    """One mixed group of four, one all wrong: NSR takes the wrong ones of both, PSR the right ones of the first."""
    batch = batch_of([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], advantage, updates=2.0)
    assert effective_completions(batch) == {"health/completions": 4.0, "health/effective_completions": useful / 2}


def test_the_trainer_logs_completions_per_update(make_trainer):
    """Eight completions a micro-batch, two micro-batches an update, two updates for each batch of 32."""
    settings = {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "advantage": "grpo", "max_steps": 2}
    trainer = make_trainer(**settings)
    trainer.train()
    row = next(row for row in trainer.state.log_history if "health/completions" in row)
    assert row["health/completions"] == 16.0
    assert 0 < row["health/effective_completions"] <= 16.0


# ------------------------------------------------------------------ where it is shown


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    from rlvr.commands.main import main

    folder = tmp_path_factory.mktemp("health") / "run"
    line = "train --config grpo tiny --max_steps 6 --eval_size 0 --per_device_train_batch_size 16"
    assert main([*line.split(), "--gradient_accumulation_steps", "2", "--no_report", "--output_dir", str(folder)]) == 0
    return folder


def test_a_run_writes_its_health_down(run):
    logged = read_metrics(run / "metrics.jsonl")
    assert all(-1 <= row["health/gradient_cosine"] <= 1 for row in logged)
    assert [row["health/completions"] for row in logged] == [32.0] * 6
    assert ["health/accuracy_lost" in row for row in logged] == [False] * 3 + [True] * 3
    assert logged[-1]["health/accuracy_lost"] == pytest.approx(accuracy_lost(logged)[0])


def test_the_verdict_stands_in_the_terminal_the_report_and_python(run, tmp_path, cli):
    verdict = health_verdict(read_metrics(run / "metrics.jsonl"))
    assert rlvr.Run(run).health == verdict
    done = cli("explain", run)
    assert done.code == 0 and done.out.startswith(f"{run}: {verdict}\n")
    assert "at least 0.3" in done.out and "with 32 completions an update" in done.out
    page = write_report([run], tmp_path).read_text()
    assert page.index('<p class="health"><b>Health:</b>') < page.index('<p class="verdict">')
    text = (tmp_path / "report.md").read_text().splitlines()
    assert text[2].startswith("**Health:** ")


def test_each_run_of_a_report_has_its_own(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    folder = tmp_path / "report"
    write_report([run, other], folder)
    assert (folder / "report.md").read_text().count("**Health of ") == 2


def test_the_end_of_training_says_it(tmp_path, cli, cache):
    done = cli(
        "train --config grpo tiny --sft_steps 0 --max_steps 1 --eval_size 0 --no_report --output_dir", tmp_path / "run"
    )
    assert "health: unknown: 1 updates say what was right" in done.err


def test_a_run_of_an_earlier_version_has_a_verdict_too():
    assert summarise([REPO / "tests" / "old_run"])["runs"][0]["health"].startswith("unknown: 2 updates")
