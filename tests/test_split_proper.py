"""The confidence's credit by a proper score: by hand, and its expected gradient by enumeration."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts
from rlvr.core.errors import SpecError


def rollouts(right, stated, **others):
    """One group: a token of working and one of confidence each."""
    n = len(right)
    return Rollouts.of([right], confidence_PG=[stated], tokens_PG=[[2] * n], split_PG=[[1] * n], **others)


def test_by_hand():
    """y = 1 0 0; q = .8 .4 .2, so s = -.02 -.08 -.02; others' means -.05 -.02 -.05."""
    adv = build("split_proper")(rollouts([1.0, 0.0, 0.0], [0.8, 0.4, 0.2])).adv[0]
    torch.testing.assert_close(adv[:, 0], torch.tensor([1.0, -0.5, -0.5]))
    torch.testing.assert_close(adv[:, 1], torch.tensor([0.03, -0.06, 0.03]))


def test_by_hand_with_the_groups_rate():
    """t = others' rates 0, .5, .5; q = .8 .4 .2: s = -.32 -.005 -.045."""
    adv = build("split_proper(target='group', weight=2)")(rollouts([1.0, 0.0, 0.0], [0.8, 0.4, 0.2])).adv[0]
    s = torch.tensor([-0.32, -0.005, -0.045])
    torch.testing.assert_close(adv[:, 1], 2 * (s - (s.sum() - s) / 2))


@pytest.mark.parametrize("target", ["own", "group"])
@pytest.mark.parametrize("chance", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("size", [2, 3])
def test_the_expected_gradient_is_the_brier_scores(target, chance, size):
    """Over all groups of outcomes and confidences, mean of A * grad log pi is the gradient of -1/2 E (q - y)^2."""
    grid = torch.tensor([0.0, 0.3, 0.7, 1.0])
    logits = torch.tensor([0.2, -0.4, 0.1, 0.3], dtype=torch.float64, requires_grad=True)
    pi = logits.softmax(0)
    estimate = torch.zeros_like(logits)
    for outcomes in itertools.product([0.0, 1.0], repeat=size):
        for choice in itertools.product(range(len(grid)), repeat=size):
            stated = [grid[i].item() for i in choice]
            adv = build(f"split_proper(target={target!r})")(rollouts(list(outcomes), stated)).adv[0, :, 1].double()
            probability = torch.stack([pi[i] for i in choice]).prod().detach()
            for y in outcomes:
                probability = probability * (chance if y else 1 - chance)
            score = torch.stack(
                [torch.eye(len(grid), dtype=torch.float64)[i] - pi for i in choice]
            )  # d log pi / d logits
            estimate = estimate + probability * (adv[:, None] * score).sum(0).detach() / size
    expected = chance * (grid - 1) ** 2 + (1 - chance) * grid**2  # E (q - y)^2, and E (q - t)^2 up to a constant
    (-0.5 * (pi * expected)).sum().backward()
    torch.testing.assert_close(estimate, logits.grad, atol=1e-6, rtol=1e-5)


def test_an_all_wrong_group_teaches_only_its_confidence():
    adv = build("split_proper")(rollouts([0.0, 0.0], [0.2, 0.8])).adv[0]
    assert not adv[:, 0].any()
    assert adv[0, 1] > 0 > adv[1, 1]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=8), st.sampled_from(["own", "group"]))
def test_a_group_sums_to_nothing_and_equals_teach_nothing(group, target):
    right, stated = [float(y) for y, _ in group], [q for _, q in group]
    adv = build(f"split_proper(target={target!r})")(rollouts(right, stated)).adv[0]
    assert adv.sum(0).abs().max() < 1e-5
    same = build(f"split_proper(target={target!r})")(rollouts([right[0]] * len(group), [stated[0]] * len(group))).adv
    assert not same.any()


def test_dropped_and_silent_completions_are_nobodys_others():
    three = rollouts([1.0, 0.0, 0.0], [0.9, 0.5, 0.4], truncated_PG=[[False, False, True]])
    adv = build("drop_truncated, split_proper")(three).adv[0]
    torch.testing.assert_close(adv[:2], build("split_proper")(rollouts([1.0, 0.0], [0.9, 0.5])).adv[0])
    assert not adv[2].any()
    silent = build("split_proper")(rollouts([1.0, 0.0, 0.0], [0.9, 0.5, torch.nan])).adv[0]
    assert silent[2, 0] == silent[2, 1]  # the answer's credit on all its tokens
    alone = build("split_proper")(rollouts([1.0, 0.0], [0.9, torch.nan])).adv[0]
    assert alone[0, 1] == 0


@pytest.mark.parametrize("spec", ["split_proper(target='both')", "split_proper(weight=-1)", "psr(divisor='some')"])
def test_wrong_parameters_are_refused(spec):
    with pytest.raises(SpecError):
        build(spec)


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_the_authors_divisor_is_the_whole_batch(right):
    """Mean over the kept of each micro-batch, times its rows over the mini-batch: the kept's sum over all rows."""
    batch = Rollouts.of([[float(y) for y in right]])
    ours, theirs = build("psr")(batch), build("psr(divisor='all')")(batch)
    kept = sum(right)
    authors = kept / len(right) * (ours.adv * ours.keep_PG).sum() / kept
    torch.testing.assert_close((theirs.adv * theirs.keep_PG).sum() / kept, authors)
