"""GDPO by hand, against TRL's own on a trained batch, and where it differs from the sum."""

import pytest
import torch
from trl import GRPOConfig

from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts
from rlvr.core.errors import SpecError
from tests.trainers import one_batch

TERMS = [[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]]
REWARD = [[1.0, 1.0, 1.0, 0.0]]


def test_by_hand():
    """Term 1: mean 1/4, std (ddof 1) sqrt(.75 / 3) = .5: 1.5 -.5 -.5 -.5. Term 2: mean 1/2, std .5774: -.866 .866 .866 -.866.

    Weights 1 and 1/2: S = 1.067 -.067 -.067 -.933; mean 0, std sqrt((1.1385 + .0045 + .0045 + .8705) / 3) = .8202.
    """
    adv = build("gdpo(eps=1.0e-9)")(Rollouts.of(REWARD, terms_PGF=TERMS, weights_F=[1.0, 0.5])).adv[0]
    torch.testing.assert_close(adv, torch.tensor([1.3009, -0.0817, -0.0817, -1.1376]), atol=2e-4, rtol=0)


def test_the_rarer_success_counts_more_where_the_sum_sees_no_difference():
    rollouts = Rollouts.of(REWARD, terms_PGF=TERMS)
    summed, decoupled = build("grpo")(rollouts).adv[0], build("gdpo")(rollouts).adv[0]
    assert summed[0] == summed[1] and decoupled[0] > decoupled[1] > 0 > decoupled[3]


def test_the_scale_of_a_term_cancels():
    """Ten times the first term is the same signal: its weight counts after the normalisation, unlike in a sum."""
    big = torch.tensor(TERMS) * torch.tensor([10.0, 1.0])
    same = [build("gdpo(eps=1.0e-9)")(Rollouts.of(REWARD, terms_PGF=t)).adv for t in (TERMS, big)]
    torch.testing.assert_close(*same, atol=1e-4, rtol=0)


def test_a_term_that_does_not_apply_or_never_varies_says_nothing():
    nan = torch.nan
    terms = [[[1.0, 0.7, nan], [0.0, 0.7, nan], [0.0, 0.7, nan]]]
    alone = build("gdpo")(Rollouts.of([[1.0, 0.0, 0.0]])).adv
    torch.testing.assert_close(build("gdpo")(Rollouts.of([[1.0, 0.0, 0.0]], terms_PGF=terms)).adv, alone)
    constant = [[[0.7]] * 7] * 3  # seven times 0.7 has a mean that is not 0.7 in fp32
    assert not build("gdpo")(Rollouts.of([[0.7] * 7] * 3, terms_PGF=constant)).adv.any()


def test_dropped_completions_shape_no_baseline():
    cut = Rollouts.of(
        [[1.0, 1.0, 1.0, 0.0, 5.0]], terms_PGF=[[*TERMS[0], [3.0, 2.0]]], truncated_PG=[[False] * 4 + [True]]
    )
    adv = build("drop_truncated, gdpo")(cut).adv[0]
    torch.testing.assert_close(adv[:4], build("gdpo")(Rollouts.of(REWARD, terms_PGF=TERMS)).adv[0])
    assert adv[4] == 0


def count_even(completion_ids, **kwargs):
    return [float(sum(i % 2 == 0 for i in ids)) for ids in completion_ids]


def first_small(completion_ids, **kwargs):
    return [float(ids[0] < 130) if sum(ids) % 5 else None for ids in completion_ids]


def test_it_equals_trls_own_advantages(make_trainer):
    """TRL's normalize_then_sum on the same completions, terms with None included (two independent implementations)."""
    results = []
    for kwargs in ({"multi_objective_aggregation": "normalize_then_sum"}, {"advantage": build("gdpo")}):
        trainer = make_trainer(
            config=GRPOConfig, reward_funcs=[count_even, first_small], reward_weights=[0.3, 1.0], **kwargs
        )
        results.append(one_batch(trainer)["advantages"])
    assert results[0].abs().max() > 0.5
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("flag", "value"), [("scale_rewards", "none"), ("multi_objective_aggregation", "normalize_then_sum")]
)
def test_settings_that_the_advantage_overrides_are_refused(flag, value):
    from rlvr.config.settings import TrainConfig, parse_config
    from rlvr.planning.resolve import plan

    config = parse_config(TrainConfig, ["grpo", "tiny"], [f"--{flag}", value])
    with pytest.raises(SpecError, match=f"{flag} '{value}' would change nothing.*gdpo"):
        plan(config)
