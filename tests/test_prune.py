"""The pruning rules by hand and by property: exact budgets, balanced classes, ties and the random share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from rlvr.core.errors import DataError, SpecError
from rlvr.select.prune import ABUNDANT, RULES, Prune, auto_rule, quotas

SCORES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]  # row i is the i-th easiest


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"keep": "hard", "fraction": 0.3}, [7, 8, 9]),
        ({"keep": "easy", "fraction": 0.3}, [0, 1, 2]),
        ({"keep": "window", "fraction": 0.3, "tail": 0.2}, [5, 6, 7]),  # 8 and 9 are the hardest fifth
        ({"keep": "window", "fraction": 0.9, "tail": 0.2}, list(range(9))),  # the budget outweighs the tail
        ({"keep": "auto", "fraction": 0.2, "n_parameters": 2 / ABUNDANT}, [8, 9]),
        ({"keep": "auto", "fraction": 0.2, "n_parameters": 2 / ABUNDANT + 0.1}, [0, 1]),
        ({"keep": "auto", "fraction": 0.2, "pass_rate": 0.51}, [8, 9]),
        ({"keep": "auto", "fraction": 0.2, "pass_rate": 0.5}, [0, 1]),
    ],
)
def test_rules_by_hand(settings, kept):
    rule = Prune(random_share=0, **settings).fit(SCORES)
    assert rule.transform(range(10)) == kept
    assert np.flatnonzero(rule.kept_).tolist() == kept


def test_reasons_say_what_happened():
    rule = Prune(keep="window", fraction=0.4, tail=0.2, random_share=0.5, seed=3).fit(SCORES)
    reasons = rule.reasons_.tolist()
    assert [reasons[6], reasons[7]] == ["kept: window"] * 2
    assert reasons.count("kept: random share") == 2
    assert {r for i, r in enumerate(reasons) if i in (8, 9)} <= {"dropped: the hardest tail", "kept: random share"}
    assert {r for i, r in enumerate(reasons) if i < 6} <= {"dropped: too easy", "kept: random share"}


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5]), min_size=1, max_size=40),
    keep=st.sampled_from(RULES),
    fraction=st.floats(0.01, 1),
    share=st.floats(0, 1),
    tail=st.floats(0, 0.9),
    n_classes=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_budget_and_balance_are_exact(scores, keep, fraction, share, tail, n_classes, seed):
    classes = [i % n_classes for i in range(len(scores))]
    rule = Prune(keep, fraction, tail, share, n_parameters=3, seed=seed).fit(scores, classes)
    assert rule.kept_.sum() == max(1, round(fraction * len(scores)))
    for label in set(classes):
        mine = np.array(classes) == label
        assert abs(rule.kept_[mine].sum() - fraction * mine.sum()) <= 1
    assert all(reason for reason in rule.reasons_)
    assert (
        Prune(keep, fraction, tail, share, n_parameters=3, seed=seed).fit(scores, classes).kept_ == rule.kept_
    ).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=30, unique=True), st.sampled_from([0.25, 0.5]))
def test_hard_and_easy_are_each_others_mirror(scores, fraction):
    hard = Prune("hard", fraction, random_share=0).fit(scores)
    easy = Prune("easy", fraction, random_share=0).fit(np.negative(scores))
    assert (hard.kept_ == easy.kept_).all()


def test_ties_are_broken_at_random_not_by_position():
    kept = sum(Prune("hard", 0.5, random_share=0, seed=seed).fit(np.zeros(20)).kept_ for seed in range(200))
    assert kept.sum() == 200 * 10
    assert kept.min() > 60  # binomial(200, 1/2): 60 is 5.7 standard deviations below 100
    assert kept.max() < 140


def test_the_random_share_is_uniform_over_what_the_rule_drops():
    kept = sum(Prune("hard", 0.5, random_share=0.4, seed=seed).fit(SCORES).kept_ for seed in range(400))
    assert (kept[7:] == 400).all()  # 5 rows stay, 2 of them at random: the rule keeps 3
    np.testing.assert_allclose(kept[:7] / 400, 2 / 7, atol=0.1)


def test_random_keeps_every_row_equally_often():
    kept = sum(Prune("random", 0.5, seed=seed).fit(SCORES).kept_ for seed in range(400))
    np.testing.assert_allclose(kept / 400, 0.5, atol=0.11)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(sum), st.floats(0.01, 1))
def test_quotas_are_the_largest_remainder(sizes, fraction):
    found = quotas(sizes, fraction)
    assert sum(found) == max(1, round(sum(sizes) * fraction))
    assert all(0 <= n <= size for n, size in zip(found, sizes, strict=True))


def test_parameters_are_stored_as_given():
    rule = Prune("easy", 0.25, 0.2, 0.3, 7.0, 0.1, 5)
    assert clone(rule).get_params() == rule.get_params()
    assert eval(repr(rule)).get_params() == rule.get_params()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Prune("hrad"), "No pruning rule 'hrad'. Did you mean 'hard'"),
        (Prune("hard", 0), "fraction lies in"),
        (Prune("hard", tail=1), "tail in"),
        (Prune("hard", random_share=-0.1), "random_share in"),
        (Prune("auto"), "keep='auto' needs the number of free parameters"),
    ],
)
def test_wrong_settings(rule, message):
    with pytest.raises(SpecError) as caught:
        rule.fit(SCORES)
    assert message in str(caught.value)


def test_wrong_scores():
    for scores in ([], [0.1, float("nan")], [[0.1]]):
        with pytest.raises(DataError, match="one finite score per row"):
            Prune("hard").fit(scores)
    with pytest.raises(DataError, match="one class per row, found 1 for 2"):
        Prune("hard").fit([1, 2], ["a"])


def test_auto_is_monotone():
    assert [auto_rule(n, n_parameters=10) for n in (1, 15, 16, 500)] == ["easy", "easy", "hard", "hard"]
