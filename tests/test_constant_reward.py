"""Equal rewards teach nothing: exactly zero credit in every step that compares completions, and a model left alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trl import GRPOTrainer

from rlvr.advantages import build
from rlvr.advantages.base import all_equal
from rlvr.advantages.rollouts import Rollouts
from rlvr.training.batch_metrics import signal_metrics
from tests.trainers import weights

COMPARING = [
    "grpo", "grpo(eps=1.0e-9, ddof=0)", "dr_grpo", "rloo", "maxrl", "lite_ppo", "gdpo", "pkpo(k=2)", "pass_at_k(k=2)",
    "split_confidence", "ppo", "batch_whiten", "group_center, batch_whiten", "drop_truncated, grpo",
]  # fmt: skip
HUNDREDTHS = [i / 100 for i in range(1, 101)]


def constant(value, groups, size, dtype=torch.float32, **kwargs):
    """Return groups in which every completion earns `value`, states one confidence and has three tokens."""
    reward = torch.full((groups, size), value, dtype=dtype)
    tokens = torch.full((groups, size), 3)
    return Rollouts.of(
        reward, confidence_PG=torch.full_like(reward, 0.7), tokens_PG=tokens, split_PG=tokens - 1, **kwargs
    )


@pytest.mark.parametrize("text", COMPARING)
def test_every_constant_and_every_group_size_gives_exactly_zero(text):
    transform = build(text)
    for size in (*range(2, 18), 31, 32, 33, 63, 64):
        for value in (*HUNDREDTHS, 100.3, 1e6, 1e30, -0.7, 1e-30, 0.0):
            assert not transform(constant(value, 1, size)).adv.any(), (value, size)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(COMPARING),
    st.floats(-1e30, 1e30, allow_nan=False),
    st.integers(1, 4),
    st.integers(2, 64),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    st.integers(0, 2**32 - 1),
)
def test_any_constant_dtype_and_cut_gives_exactly_zero(text, value, groups, size, dtype, seed):
    """With members dropped and unscored too: what is kept of them is still constant."""
    random = torch.Generator().manual_seed(seed)
    cut, scored = torch.rand(2, groups, size, generator=random) < torch.tensor([0.3, 0.8])[:, None, None]
    rollouts = constant(value, groups, size, dtype, truncated_PG=cut, scored_PG=scored)
    assert not build(text)(rollouts).adv.any()


@pytest.mark.parametrize("text", ["grpo", "dr_grpo", "rloo", "maxrl", "lite_ppo", "pkpo(k=2)", "gdpo"])
def test_the_same_terms_added_in_another_order_are_a_constant(text):
    """300.3 + 0.7 + 0.2 and 0.2 + 0.7 + 300.3 differ in the last bit of float32, which eps would divide."""
    terms = torch.tensor([300.3, 0.7, 0.2])
    orders = [terms[i] + terms[j] + terms[k] for i, j, k in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1))]
    reward = torch.stack(orders * 2)[None]
    assert reward.unique().numel() > 1
    assert not build(text)(Rollouts.of(reward)).adv.any()


@pytest.mark.parametrize("text", ["grpo", "dr_grpo", "rloo", "maxrl", "lite_ppo", "pkpo(k=2)", "drop_truncated, gdpo"])
def test_groups_of_different_constants_teach_nothing_either(text):
    """The batch has a spread, 0.7 to 3.1, but no group has: nothing in it says which completion was better."""
    reward = torch.tensor([[0.7], [1.3], [3.1]]).expand(3, 8)
    assert not build(text)(Rollouts.of(reward)).adv.any()


def test_a_constant_group_beside_a_mixed_one_changes_nothing_there():
    reward = torch.tensor([[0.7] * 8, [1.0] + [0.0] * 7])
    for text in ("grpo", "dr_grpo", "rloo", "maxrl", "pkpo"):
        signal = build(text)(Rollouts.of(reward))
        assert not signal.adv[0].any()
        assert torch.equal(signal.adv[1], build(text)(Rollouts.of(reward[1:])).adv[0]) and signal.adv[1].any()


def test_rewards_that_differ_by_little_still_count():
    """2e-6 apart at 1, or 1 apart at 1e6: more than the tolerance and more than rounding."""
    for row in ([1.0, 1.0 + 2e-6], [1e6, 1e6 + 1], [0.0, 2e-6], [-1e30, 1e30]):
        assert not all_equal(torch.tensor([row]), torch.ones(1, 2).bool()), row
        assert build("dr_grpo")(Rollouts.of([row])).adv.all(), row


def test_the_metric_and_the_filter_use_the_same_rule():
    """One rounding step apart at 1000, and a group whose only other reward was never given."""
    reward = [[1000.0, 1000.0 + 2**-14], [0.7, torch.nan], [1.0, 0.0]]
    rollouts = Rollouts.of(reward)
    assert signal_metrics(rollouts, None, None, ())["groups/no_signal"] == pytest.approx(2 / 3)
    assert build("drop_zero_signal")(rollouts).keep_PG.any(1).tolist() == [False, False, True]
    assert build("grpo")(rollouts).adv.any(1).tolist() == [False, False, True]


def always(value):
    return lambda completions, **kwargs: [value] * len(completions)


COMMON = {"max_steps": 5, "learning_rate": 1e-2, "num_generations": 8, "weight_decay": 0.0, "max_completion_length": 4}


@pytest.mark.parametrize("advantage", ["grpo", "dr_grpo", "rloo", "maxrl", "lite_ppo", "gdpo", "pkpo(k=2)"])
def test_a_constant_reward_leaves_the_model_as_it_was_to_the_bit(make_trainer, advantage):
    """Five steps of Adam at a rate of 1e-2, which turns any gradient however small into steps of that size."""
    trainer = make_trainer(model="tiny", advantage=build(advantage), reward_funcs=always(0.7), **COMMON)
    before = weights(trainer).clone()
    trainer.train()
    assert trainer.state.global_step == 5
    assert torch.equal(weights(trainer), before)


def test_parity_with_trl_ends_here(make_trainer):
    """TRL's own advantages keep the residue: the same run moves its weights. What it has wrong is not reproduced."""
    trainer = make_trainer(GRPOTrainer, reward_funcs=always(100.3), **COMMON)
    before = weights(trainer).clone()
    trainer.train()
    assert not torch.equal(weights(trainer), before)
