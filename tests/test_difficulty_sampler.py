"""Drawing by difficulty: the floor holds, propensities are true, the naive loop locks in and this one does not."""

import math

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.advantages import drop_near_impossible
from rlvr.advantages.rollouts import Rollouts
from rlvr.commands.main import main
from rlvr.core.errors import SpecError
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.pass_rate import PassRate
from rlvr.training.curriculum.difficulty_sampler import DifficultySampler, draw_probabilities
from rlvr.training.curriculum.propensity import ipw_mean, self_normalised_mean
from tests.commands import WARM

BAND = (0.2, 0.8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 1))
def test_probabilities_sum_to_one_and_the_floor_holds(rates, floor):
    p = draw_probabilities(torch.tensor(rates), BAND, floor)
    assert p.sum().item() == pytest.approx(1)
    assert (p >= floor / len(rates) - 1e-12).all()


def test_a_draw_depends_on_seed_step_and_record_alone():
    sampler, rates = DifficultySampler(BAND, 0.2, seed=3), torch.tensor([0.1, 0.5, 0.6, 0.9])
    a, b = sampler.draw(rates, 50, step=7), sampler.draw(rates, 50, step=7)
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], draw_probabilities(rates, BAND, 0.2)[a[0]])
    assert not torch.equal(a[0], sampler.draw(rates, 50, step=8)[0])


@pytest.mark.parametrize(
    ("band", "floor", "message"),
    [((0.8, 0.2), 0.1, "low < high"), ((0.2, 1.2), 0.1, "within"), (BAND, 0.0, "never be drawn")],
)
def test_mistakes_are_named(band, floor, message):
    with pytest.raises(SpecError, match=message):
        DifficultySampler(band, floor, 0)


def test_weighting_by_propensity_is_unbiased_and_the_naive_mean_is_not():
    """Known truth: 40 problems with fixed rates; 4,000 batches of 16 draws, standard error about 0.002."""
    rates = torch.linspace(0, 1, 40, dtype=torch.float64)
    sampler = DifficultySampler(BAND, 0.3, seed=0)
    naive, weighted, normalised = [], [], []
    for step in range(4_000):
        index, propensity = sampler.draw(rates, 16, step)
        naive.append(rates[index].pow(2).mean().item())  # something else than the rate, which the band is symmetric in
        weighted.append(ipw_mean(rates[index].pow(2), propensity, 40))
        normalised.append(self_normalised_mean(rates[index].pow(2), propensity))
    truth = rates.pow(2).mean().item()  # 0.3376
    assert sum(weighted) / 4_000 == pytest.approx(truth, abs=0.008)
    assert sum(normalised) / 4_000 == pytest.approx(truth, abs=0.03)  # biased by O(1 / K)
    # The naive mean estimates sum p_i rate_i^2 instead (0.298): it is sure of a wrong number.
    wrong = (draw_probabilities(rates, BAND, 0.3) * rates.pow(2)).sum().item()
    assert sum(naive) / 4_000 == pytest.approx(wrong, abs=0.008)
    assert abs(wrong - truth) > 0.03


def test_discount_is_a_geometric_sum():
    """8 attempts in every batch under factor 0.5: 8 (1 + 1/2 + 1/4 + ...) -> 16, successes half of that."""
    record = PassRate()
    for _ in range(30):
        record.discount(0.5)
        record.add("a", 8, 4)
    assert record.counts["a"] == pytest.approx((16, 8), abs=1e-6)
    assert record.posterior_mean("a") == pytest.approx((8 + 0.5) / (16 + 1), abs=1e-6)
    with pytest.raises(SpecError):
        record.discount(0.0)


def test_a_fading_record_gives_near_impossible_problems_another_chance():
    """0 of 16 stands at 0.5 / 17 = 0.029; over 0.05 once n <= 9: ln(16 / 9) / -ln 0.99 = 57.2 batches, so the 58th."""
    record, keep = PassRate({"a": (16, 0)}), drop_near_impossible(threshold=0.05)
    for batch in range(1, 60):
        record.discount(0.99)
        attempts_P, successes_P = record.lookup(["a"])
        kept = keep(Rollouts.of([[1.0, 0.0]], attempts_P=attempts_P, successes_P=successes_P)).keep_PG.all()
        assert kept == (batch >= 58), batch


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=20), st.floats(0.05, 1))
def test_the_posterior_under_discount_has_its_closed_form(batches, factor):
    """n_t = sum_s d^(t - s) n_s, and the mean is (s_t + a) / (n_t + a + b)."""
    record = PassRate()
    for attempts, successes in batches:
        record.discount(factor)
        record.add("a", attempts, min(attempts, successes))
    age = range(len(batches) - 1, -1, -1)
    n = math.fsum(a * factor**k for (a, _), k in zip(batches, age, strict=True))
    c = math.fsum(min(a, b) * factor**k for (a, b), k in zip(batches, age, strict=True))
    assert record.posterior_mean("a", prior=(2, 3)) == pytest.approx((c + 2) / (n + 5))


def test_a_record_that_never_faded_is_written_as_integers(tmp_path):
    record = PassRate({"a": (8, 2)})
    for factor, kind in ((1.0, "int64"), (0.9, "double")):
        record.discount(factor)
        record.to_parquet(tmp_path / "d.parquet")
        assert str(pq.read_schema(tmp_path / "d.parquet").field("attempts").type) == kind


def test_a_discounted_record_survives_the_disk(tmp_path):
    record = PassRate({"a": (8, 2)})
    record.discount(0.9)
    record.to_parquet(tmp_path / "d.parquet")
    assert PassRate.from_parquet(tmp_path / "d.parquet") == record


def locked_out(floor: float, discount: float) -> float:
    """A policy whose rates rise from 0.15 to 0.6 on all 60 problems; the share never drawn in the second half."""
    generator = torch.Generator().manual_seed(0)
    ids = [f"p{i}" for i in range(60)]
    record, drawn_late = PassRate(), set()
    for step in range(400):
        rate = 0.15 + 0.45 * min(1.0, step / 200)
        p = draw_probabilities(record.posterior_means(ids), BAND, floor)
        index = torch.multinomial(p, 4, replacement=True, generator=generator).tolist()
        record.discount(discount)
        for i in index:
            record.add(ids[i], 8, int((torch.rand(8, generator=generator) < rate).sum()))
        if step >= 200:
            drawn_late |= set(index)
    return 1 - len(drawn_late) / 60


def test_the_naive_loop_locks_in_and_the_corrected_one_does_not():
    naive, corrected = locked_out(floor=0.0, discount=1.0), locked_out(floor=0.2, discount=0.98)
    assert naive > 0.2  # unlucky at first, never drawn again, although all problems are now worth training on
    assert corrected == 0.0


def test_resume_draws_what_an_uninterrupted_run_draws(tmp_path):
    from tests.parity_problems import trainer

    common = {"difficulty_band": [0.2, 0.8], "record_discount": 0.9, "save_strategy": "steps", "save_steps": 2}
    whole = trainer(tmp_path / "whole", 0, steps=4, **common)
    whole.train()
    trainer(tmp_path / "cut", 0, steps=2, **common).train()
    second = trainer(tmp_path / "cut", 0, steps=4, **common)
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-2"))
    assert second.record == whole.record
    for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_recipe_logs_propensities_and_what_they_say(tmp_path, cache):
    """Through the command: each estimate recomputed from the rollouts file, by hand."""
    run, size = RunDir(tmp_path / "run"), 24
    flags = [*WARM, "--max_steps", "2", "--eval_size", "0", "--train_size", str(size), "--no_report"]
    flags += ["--per_device_train_batch_size", "32", "--num_generations", "4", "--profile_n", "2"]
    assert main(["train", "--config", "difficulty", "tiny", *flags, "--output_dir", str(run.path)]) == 0
    for file, logged in zip(sorted(run.rollouts.glob("*")), read_metrics(run.metrics), strict=True):
        rows = pq.read_table(file).to_pylist()
        draws = [
            (rows[i]["propensity"], sum(r["correct"] for r in rows[i : i + 4]) / 4) for i in range(0, len(rows), 4)
        ]
        assert len(draws) == 8
        assert all(0.2 / size <= p <= 1 for p, _ in draws)
        assert logged["accuracy"] == pytest.approx(sum(y for _, y in draws) / 8)
        assert logged["accuracy/ipw"] == pytest.approx(sum(y / p for p, y in draws) / 8 / size)
        weight = sum(1 / p for p, _ in draws)
        assert logged["accuracy/self_normalised"] == pytest.approx(sum(y / p for p, y in draws) / weight)
    fresh = PassRate.from_parquet(run.difficulty)
    assert any(n != int(n) for n, _ in fresh.counts.values())  # it has faded
