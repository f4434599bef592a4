"""Accuracy against n: every subset enumerated with the plain vote functions."""

import itertools

import numpy as np
import pytest

from rlvr.core.errors import DataError
from rlvr.measure.metrics import (
    Records,
    bootstrap_mean,
    confidence_weighted_vote,
    majority,
    summarise_eval,
    vote_accuracy,
    vote_curve,
)
from rlvr.measure.metrics.vote_curve import BEST, MAJORITY, WEIGHTED, subsets
from tests.fake_run import make_eval


def most_confident(samples):
    """Plain version: the answered sample of highest confidence, ties in parts, a missing one below all others."""
    rows = [(-1.0 if s["confidence"] is None else s["confidence"], s["correct"]) for s in samples if s["answer"]]
    top = max((q for q, _ in rows), default=0)
    return np.mean([right for q, right in rows if q == top]) if rows else 0.0


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_every_subset_by_brute_force(n):
    record = make_eval(problems=6, n=6, missing=0.3)
    for problem in record["problems"]:  # the verdict of an answer is one and the same
        for s in problem["samples"]:
            s["correct"] = s["answer"] == "7"
    expected = {MAJORITY: [], WEIGHTED: [], BEST: []}
    for problem in record["problems"]:
        found = []
        for chosen in itertools.combinations(problem["samples"], n):
            answers, qs, ys = ([s[k] for s in chosen] for k in ("answer", "confidence", "correct"))
            votes = majority(answers), confidence_weighted_vote(answers, qs)
            found.append([*(vote_accuracy(v, answers, ys) for v in votes), most_confident(chosen)])
        for rule, value in zip(expected, np.mean(found, axis=0), strict=True):
            expected[rule].append(value)
    curve = vote_curve(record, [n], n_resamples=100)
    for rule, values in expected.items():
        assert curve[rule][n] == bootstrap_mean(values, n_resamples=100)
    assert curve[f"{WEIGHTED} - {MAJORITY}"][n].value == pytest.approx(np.mean(expected[WEIGHTED]) - np.mean(expected[MAJORITY]))  # fmt: skip


def test_the_ends_are_pass_at_1_and_the_vote_over_all():
    record = make_eval(n=8)
    curve, summary = vote_curve(record, n_resamples=20), summarise_eval(record, n_resamples=20)
    assert list(curve[MAJORITY]) == [1, 2, 4, 8]
    for rule in (MAJORITY, WEIGHTED, BEST):
        assert curve[rule][1].value == pytest.approx(summary["pass@1"].value)
    assert curve[MAJORITY][8].value == pytest.approx(summary["majority_vote"].value)
    assert curve[WEIGHTED][8].value == pytest.approx(np.nanmean(Records.of(record).weighted_P))


def test_honest_confidence_gains_with_n_and_noise_does_not():
    rng = np.random.default_rng(0)
    record = make_eval(problems=60, n=8, missing=0)
    for problem in record["problems"]:
        for s in problem["samples"]:
            s["confidence"] = float(np.clip(0.3 + 0.4 * s["correct"] + 0.2 * rng.normal(), 0, 1))
    assert vote_curve(record, [8])[f"{BEST} - {MAJORITY}"][8].low > 0
    for problem in record["problems"]:
        for s in problem["samples"]:
            s["confidence"] = float(rng.random())
    assert vote_curve(record, [8])[f"{BEST} - {MAJORITY}"][8].high < 0


def test_many_subsets_are_drawn_without_repeats_inside_and_the_same_each_time():
    found = subsets(20, 10, seed=3)
    assert found.shape == (64, 10)
    assert all(len(set(row)) == 10 for row in found.tolist())
    np.testing.assert_array_equal(found, subsets(20, 10, seed=3))


def test_failed_verdicts_do_not_vote_and_short_problems_leave_an_n():
    record = make_eval(problems=5, n=4)
    for s in record["problems"][0]["samples"][:3]:
        s["correct"] = None
    curve = vote_curve(record, [1, 4], n_resamples=10)
    assert (curve[MAJORITY][1].n, curve[MAJORITY][4].n) == (5, 4)


def test_bad_input():
    with pytest.raises(DataError, match="A vote of 9 needs 9 samples per problem; found at most 8"):
        vote_curve(make_eval(), [9])
    with pytest.raises(DataError, match="Did you mean 'stated'"):
        vote_curve(make_eval(), confidence="statde")
    assert vote_curve({"problems": []}) == {}
