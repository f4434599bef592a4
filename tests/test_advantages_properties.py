"""Group-relative maths as properties: order, shifts, sums, signs, and what may never grow."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.advantages import RECIPES, TRANSFORMS, build
from rlvr.advantages.rollouts import Rollouts, Signal

few = settings(max_examples=30, deadline=None)
CHAINS = st.sampled_from(
    [
        *TRANSFORMS,
        *RECIPES,
        "group_center, batch_scale",
        "drop_truncated, drop_near_impossible, grpo",
        "grpo, mask_sign(sign='positive'), drop_zero_signal",
        "keep_negative, group_center",
    ]
)
BATCH_WIDE = ("lite_ppo", "gdpo")
BASELINES = st.sampled_from(["grpo", "dr_grpo", "rloo", "group_center, batch_scale", "drop_truncated, grpo"])


@st.composite
def batches(draw, min_groups=1):
    """Up to 4 groups of up to 6; rewards on a grid of 1/16 (exact in float32), some without a score."""
    groups, size = draw(st.integers(min_groups, 4)), draw(st.integers(1, 6))

    def grid(element):
        return draw(st.lists(st.lists(element, min_size=size, max_size=size), min_size=groups, max_size=groups))

    reward = torch.tensor(grid(st.integers(0, 32))).float() / 16
    attempts = draw(st.lists(st.integers(0, 64), min_size=groups, max_size=groups))
    return Rollouts.of(
        reward.masked_fill(torch.tensor(grid(st.integers(0, 5))) == 0, torch.nan),
        grid(st.booleans()),
        truncated_PG=grid(st.booleans()),
        attempts_P=attempts,
        successes_P=[draw(st.integers(0, n)) for n in attempts],
    )


def rearranged(rollouts, groups, completions):
    """Return the rollouts with groups and, in each, completions in another order."""
    fields = {}
    for name, value in vars(rollouts).items():
        if value is None:
            fields[name] = None
        elif not torch.is_tensor(value):
            fields[name] = tuple(value[i] for i in groups.tolist())
        elif name == "weights_F":  # of the terms, not of groups
            fields[name] = value
        else:
            fields[name] = value[groups][:, completions] if value.dim() > 1 else value[groups]
    return Rollouts(**fields)


@few
@given(batches(), CHAINS, st.randoms(use_true_random=False))
def test_the_order_of_groups_and_completions_does_not_matter(rollouts, text, random):
    groups, completions = (torch.tensor(random.sample(range(n), n)) for n in rollouts.reward_PG.shape)
    transform = build(text)
    there = transform(rearranged(rollouts, groups, completions))
    here = transform(rollouts)
    torch.testing.assert_close(there.adv, here.adv[groups][:, completions], rtol=1e-4, atol=1e-4)
    assert torch.equal(there.keep_PG, here.keep_PG[groups][:, completions])
    assert set(there.dropped) == set(here.dropped)


@few
@given(batches(min_groups=2), CHAINS.filter(lambda text: "batch_" not in text and text not in (*BATCH_WIDE, "ppo")))
def test_groups_do_not_see_each_other(rollouts, text):
    """Credit of the first group is the same without the others (what scales or whitens a batch is the exception)."""
    first = rearranged(rollouts, torch.tensor([0]), torch.arange(rollouts.reward_PG.shape[1]))
    transform = build(text)
    torch.testing.assert_close(transform(first).adv, transform(rollouts).adv[:1], rtol=1e-4, atol=1e-4)


@few
@given(batches(), BASELINES, st.integers(-8, 8))
def test_a_baseline_cancels_a_shift_of_the_reward(rollouts, text, shift):
    shifted = Rollouts(**{**vars(rollouts), "reward_PG": rollouts.reward_PG + shift})
    transform = build(text)
    # Shifts and rewards are multiples of 1/16, so only the mean is rounded; eps 1e-4 magnifies that by 1e4.
    torch.testing.assert_close(transform(shifted).adv, transform(rollouts).adv, rtol=1e-3, atol=2e-2)


@few
@given(batches(), st.integers(1, 64))
def test_standardising_cancels_a_scale_of_the_reward(rollouts, factor):
    scaled = Rollouts(**{**vars(rollouts), "reward_PG": rollouts.reward_PG * factor})
    transform = build("grpo(eps=1e-9)")
    alive = build("drop_zero_signal")(rollouts).keep_PG  # elsewhere 0 / eps is only rounding
    torch.testing.assert_close(transform(scaled).adv * alive, transform(rollouts).adv * alive, rtol=1e-3, atol=1e-3)


@few
@given(batches(), BASELINES)
def test_credit_sums_to_zero_over_the_kept_of_each_group(rollouts, text):
    signal = build(text)(rollouts)
    sums = (signal.adv * signal.keep_PG).sum(1)
    assert sums.abs().max() < 1e-2  # constant groups: rounding over eps


@few
@given(batches(), BASELINES)
def test_better_than_average_is_positive_and_worse_is_negative(rollouts, text):
    signal = build(text)(rollouts)
    for adv, keep, reward in zip(signal.adv, signal.keep_PG, rollouts.reward_PG, strict=True):
        if keep.any():
            above = reward[keep].double() - reward[keep].double().mean()
            clear = above.abs() > 1e-3
            assert torch.equal(adv[keep][clear].sign(), above[clear].sign().float())


@few
@given(batches(), CHAINS)
def test_keep_only_shrinks_and_credit_stays_finite(rollouts, text):
    signal = Signal.start(rollouts)
    for step in build(text).transforms:
        after = step(rollouts, signal)
        assert not (after.keep_PG & ~signal.keep_PG).any()
        assert after.adv.isfinite().all()
        assert (after.adv[~after.keep_PG] == 0).all()
        assert set(signal.dropped) <= set(after.dropped)
        signal = after


@few
@given(batches())
def test_psr_and_nsr_split_what_reinforce_sees(rollouts):
    """L = L_PSR + L_NSR (2506.01347): together, every scored completion once, with REINFORCE's credit."""
    both, psr, nsr = (build(name)(rollouts) for name in ("reinforce", "psr", "nsr"))
    assert torch.equal(psr.adv + nsr.adv, both.adv)
    assert torch.equal(psr.keep_PG ^ nsr.keep_PG, both.keep_PG)
    torch.testing.assert_close(build("w_reinforce(pos=0.25)")(rollouts).adv, 0.25 * psr.adv + nsr.adv)


@few
@given(batches(), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_a_higher_threshold_drops_at_least_as_much(rollouts, one, other):
    low, high = sorted((one, other))
    kept = [build(f"drop_near_impossible(threshold={t})")(rollouts).keep_PG for t in (low, high)]
    assert not (kept[1] & ~kept[0]).any()


@pytest.mark.parametrize("group_size", [2, 3, 8, 64])
def test_a_lone_success_stands_at_root_g_minus_1(group_size):
    """Population std of one success: sqrt((1/G)(1 - 1/G)); (1 - 1/G) over it is sqrt(G - 1) (semantic 2)."""
    rollouts = Rollouts.of([[1.0] + (group_size - 1) * [0.0]])
    lone = build("grpo(eps=1e-9, ddof=0)")(rollouts).adv[0, 0].item()
    assert lone == pytest.approx((group_size - 1) ** 0.5, rel=1e-5)


def written_out(name, rewards_PG, keep_PG, eps=1e-4):
    """The papers' formulas as plain loops over Python floats: no tensor, no helper of ours."""

    def mean(values):
        return sum(values) / len(values)

    def std(values):
        return (sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1)) ** 0.5

    everyone = [r for row, keep in zip(rewards_PG, keep_PG, strict=True) for r, k in zip(row, keep, strict=True) if k]
    out = []
    for row, keep in zip(rewards_PG, keep_PG, strict=True):
        kept = [r for r, k in zip(row, keep, strict=True) if k]
        credit = []
        for reward, k in zip(row, keep, strict=True):
            if not k or len(kept) < 2 or max(kept) == min(kept):
                credit.append(0.0)
            elif name == "grpo":
                credit.append((reward - mean(kept)) / (std(kept) + eps))
            elif name == "dr_grpo":
                credit.append(reward - mean(kept))
            elif name == "rloo":
                credit.append(reward - (sum(kept) - reward) / (len(kept) - 1))
            elif name == "maxrl":
                credit.append((reward - mean(kept)) / mean(kept))
            else:
                credit.append((reward - mean(kept)) / (std(everyone) + eps))
        out.append(credit)
    return out


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", "maxrl", "lite_ppo"])
@few
@given(rollouts=batches())
def test_group_relative_credit_is_the_papers_formula_written_out(name, rollouts):
    signal = build(f"drop_truncated, {name}")(rollouts)
    rewards = rollouts.reward_PG.nan_to_num(0.0).tolist()
    expected = torch.tensor(written_out(name, rewards, signal.keep_PG.tolist()))
    torch.testing.assert_close(signal.adv, expected, rtol=1e-4, atol=1e-5)
