"""Drawing by difficulty: the floor holds, propensities are true, the naive loop locks in and this one does not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.errors import SpecError
from rlvr.select.difficulty_sampler import DifficultySampler, draw_probabilities
from rlvr.select.pass_rate import PassRate
from rlvr.select.propensity import ipw_mean, self_normalised_mean

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
