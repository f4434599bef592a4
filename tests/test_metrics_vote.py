import itertools

import numpy as np
import pytest

from rlvr.measure.metrics import confidence_weighted_vote, majority, vote_accuracy, vote_share


def test_confidence_can_overrule_the_majority():
    answers, confidences = ["a", "a", "b"], [0.3, 0.3, 0.9]
    assert majority(answers) == ("a",)
    assert confidence_weighted_vote(answers, confidences) == ("b",)


def test_order_never_matters_even_where_floats_would_break_a_tie():
    votes = [("a", 0.1), ("a", 0.2), ("a", 0.3), ("b", 0.6)]  # 0.1 + 0.2 + 0.3 != 0.6 in floats
    for order in itertools.permutations(votes):
        assert confidence_weighted_vote(*zip(*order, strict=True)) == ("a", "b")


def test_none_does_not_vote_and_a_missing_confidence_adds_nothing():
    assert majority([None, None, "a"]) == ("a",)
    assert confidence_weighted_vote(["a", "a", "b"], [None, None, 0.1]) == ("b",)
    assert confidence_weighted_vote(["a", "b"], [0.0, None]) == ("a", "b")
    assert majority([]) == ()


@pytest.mark.parametrize(
    ("answers", "correct", "expected"),
    [
        (["1", "2", "2"], [True, False, False], 0.0),
        (["1", "2"], [True, False], 0.5),  # a tie, one of two right
        (["1", "2", "3"], [True, False, False], 1 / 3),
        (["1", "1", "2"], [None, True, False], 1.0),  # a failed verdict is left out
        ([None, None], [False, False], 0.0),
    ],
)
def test_the_accuracy_of_a_majority_with_ties(answers, correct, expected):
    assert vote_accuracy(majority(answers), answers, correct) == pytest.approx(expected)


def test_a_winner_without_a_verdict_has_no_accuracy():
    assert np.isnan(vote_accuracy(("1",), ["1", "2"], [None, True]))


def test_shares_are_of_all_samples():
    assert vote_share(["x", None, "x", "y"]) == [0.5, None, 0.5, 0.25]
