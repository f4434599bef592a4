"""summarise_eval and compare_evals on synthetic evaluations, against plain recomputation."""

import time

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from rlvr.core.errors import DataError
from rlvr.measure.metrics import (
    Interval,
    Records,
    align,
    bootstrap_mean,
    brier,
    compare_evals,
    constant_baseline_brier,
    ece,
    pass_at_1_by_task,
    pass_at_k,
    summarise_eval,
)
from tests.fake_run import make_eval


def column(record, key, pairs_only=False):
    return [
        sample[key]
        for problem in record["problems"]
        for sample in problem["samples"]
        if not pairs_only or (sample["confidence"] is not None and sample["correct"] is not None)
    ]


def test_every_value_equals_a_plain_recomputation():
    record = make_eval(missing=0.2, unverified=0.05)
    summary = summarise_eval(record, n_resamples=50)
    q, y = (np.array(column(record, key, pairs_only=True), float) for key in ("confidence", "correct"))
    verdicts = [[s["correct"] for s in p["samples"] if s["correct"] is not None] for p in record["problems"]]
    for name, expected in {
        "pass@1": np.mean([np.mean(v) for v in verdicts]),
        "pass@4": np.mean([pass_at_k(len(v), sum(v), 4) for v in verdicts]),
        "brier": brier_score_loss(y, q),
        "auroc": roc_auc_score(y, q),
        "ece": ece(q, y),
        "confidence_mean": q.mean(),
        "overconfidence": (q - y).mean(),
        "confidence_missing": np.mean([x is None for x in column(record, "confidence")]),
        "verifier_failures": np.mean([x is None for x in column(record, "correct")]),
        "format_rate": np.mean(column(record, "format_ok")),
        "truncated": np.mean(column(record, "truncated")),
        "tokens": np.mean(column(record, "tokens")),
    }.items():
        assert summary[name].value == pytest.approx(expected), name
    assert summary["brier"].value == pytest.approx(
        summary["brier_reliability"].value - summary["brier_resolution"].value + summary["brier_uncertainty"].value
    )
    assert summary["brier_skill"].value == pytest.approx(1 - summary["brier"].value / summary["brier_constant"].value)
    assert (summary["problems"], summary["samples"], summary["pairs"]) == (20, 160, q.size)
    assert summary["unverified"] == sum(x is None for x in column(record, "correct")) > 0


def test_intervals_are_over_problems():
    record = make_eval()
    rates = [problem["c"] / 8 for problem in record["problems"]]
    assert summarise_eval(record)["pass@1"] == bootstrap_mean(rates)


def test_ks_are_powers_of_two_that_most_problems_reach():
    record = make_eval(n=9)
    assert [k for k in summarise_eval(record, n_resamples=5) if k.startswith("pass@")] == [
        "pass@1",
        "pass@2",
        "pass@4",
        "pass@8",
    ]
    record["problems"][0]["samples"] = record["problems"][0]["samples"][:3]
    summary = summarise_eval(record, n_resamples=5)
    assert (summary["pass@2"].n, summary["pass@8"].n) == (20, 19)
    with pytest.raises(DataError, match="pass@16 needs 16 samples per problem; found at most 9"):
        summarise_eval(record, ks=[16])


def test_missing_confidence_is_counted_and_never_imputed():
    record = make_eval(missing=1.0)
    summary = summarise_eval(record, n_resamples=20)
    assert summary["confidence_missing"].value == 1.0
    assert summary["pairs"] == 0
    for name in ("ece", "ece_debiased", "brier", "auroc", "nll", "aurc", "brier_skill", "confidence_vote"):
        assert str(summary[name]) == "n/a"
        assert summary[name].n == 0
    assert summary["majority_vote"].n == 20


def test_a_calibrated_model_has_ece_near_the_noise_and_an_interval_that_reaches_low():
    rng = np.random.default_rng(0)
    record = make_eval(problems=60, missing=0.0)
    for problem in record["problems"]:
        for sample in problem["samples"]:
            sample["confidence"] = round(float(rng.random()), 1)
            sample["correct"] = bool(rng.random() < sample["confidence"])
    summary = summarise_eval(record)
    assert summary["ece_debiased"].value < summary["ece"].value < 0.08
    assert 0 <= summary["ece"].low < 0.01
    assert summary["ece"].bias > 0.005  # resampling adds noise, noise adds ECE


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("stated", [0.3, np.nan, 0.5, 1.0]),
        ("sequence", [0.5, 0.25, 1.0, np.nan]),
        ("sequence_mean", [0.5**0.5, 0.25**0.5, 1.0, np.nan]),
        ("vote", [0.5, 0.5, 0.25, np.nan]),
    ],
)
def test_four_kinds_of_confidence(kind, expected):
    base = {"correct": True, "tokens": 2, "format_ok": True, "truncated": False}
    samples = [
        {**base, "confidence": 0.3, "answer": "a", "logp": np.log(0.5)},
        {**base, "confidence": None, "answer": "a", "logp": np.log(0.25)},
        {**base, "confidence": 0.5, "answer": "b", "logp": 1e-7},
        {**base, "confidence": 1.0, "answer": None, "logp": None},
    ]
    records = Records.of({"problems": [{"task": "t", "samples": samples}]}, kind)
    np.testing.assert_allclose(records.confidence_S, expected)


def test_an_unknown_confidence_is_named():
    with pytest.raises(DataError, match="Did you mean 'sequence'"):
        summarise_eval(make_eval(), confidence="sequnce")


def test_an_evaluation_without_problems_gives_no_numbers():
    summary = summarise_eval({"problems": []})
    assert (summary["problems"], summary["samples"]) == (0, 0)
    assert all(str(value) == "n/a" for value in summary.values() if isinstance(value, Interval))
    assert pass_at_1_by_task({"problems": []}) == {}


def test_by_task():
    record = make_eval()
    found = pass_at_1_by_task(record)
    assert list(found) == [f"t/L{i}" for i in range(5)]
    assert found["t/L3"].value == np.mean([p["c"] / 8 for p in record["problems"] if p["task"] == "t/L3"])
    assert found["t/L3"].n == 4


# Comparing


def test_differences_are_paired_whatever_the_order_of_the_problems():
    before, after = make_eval(seed=1), make_eval(seed=2, easier=1.0)
    a, b = summarise_eval(before, n_resamples=5), summarise_eval(after, n_resamples=5)
    shuffled = {**after, "problems": after["problems"][::-1]}
    compared = compare_evals(before=before, after=shuffled)
    assert compared == compare_evals(before=before, after=after)
    for name, interval in compared.items():
        if name != "ece_debiased":
            assert interval.value == pytest.approx(b[name].value - a[name].value), name
    rates = [[p["c"] / 8 for p in side["problems"]] for side in (before, after)]
    assert compared["pass@1"] == bootstrap_mean(np.subtract(rates[1], rates[0]))
    assert compared["pass@1"].excludes_zero


def test_the_two_sides_are_named_and_swapping_them_swaps_the_sign():
    """By position, (after, before) would be read as a fall and nothing would tell."""
    before, after = make_eval(seed=1), make_eval(seed=2, easier=1.0)
    with pytest.raises(TypeError, match="positional"):
        compare_evals(after, before)
    rise, fall = compare_evals(before=before, after=after), compare_evals(before=after, after=before)
    assert rise["pass@1"].value == -fall["pass@1"].value > 0


def test_an_evaluation_does_not_differ_from_itself():
    record = make_eval()
    for name, interval in compare_evals(before=record, after=record).items():
        assert (interval.value, interval.low, interval.high) == (0, 0, 0), name


def test_a_paired_brier_difference_by_brute_force():
    before, after = make_eval(seed=1), make_eval(seed=2)
    ours = compare_evals(before=before, after=after, n_resamples=300)["brier"]
    sides = [Records.of(side).pairs() for side in (before, after)]
    rng, differences = np.random.default_rng(0), []
    for counts in rng.multinomial(20, np.full(20, 1 / 20), size=300):
        scores = []
        for q, y, problem in sides:
            rows = np.repeat(np.arange(q.size), counts[problem])
            scores.append(brier(q[rows], y[rows]))
        differences.append(scores[1] - scores[0])
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))


def test_problems_that_do_not_match_are_refused():
    record = make_eval(problems=4)
    fewer = {**record, "problems": record["problems"][1:]}
    with pytest.raises(DataError, match=r"share 3 problems and differ in 1, e.g. \['p0'\]"):
        compare_evals(before=record, after=fewer)
    assert compare_evals(before=record, after=fewer, allow_missing=True, n_resamples=5)["pass@1"].n == 3
    with pytest.raises(DataError, match="share 0 problems"):
        align(record, {**record, "problems": []}, allow_missing=True)
    with pytest.raises(DataError, match="twice"):
        align(record, {**record, "problems": record["problems"] * 2})
    with pytest.raises(DataError, match="versions 1 and 2"):
        align(record, {**record, "set_version": 2})
    other_gold = [{**record["problems"][0], "gold": "8"}, *record["problems"][1:]]
    with pytest.raises(DataError, match="'p0' has another gold answer"):
        align(record, {**record, "problems": other_gold})


def test_a_problem_counts_for_a_k_when_both_sides_reach_it():
    before, after = make_eval(seed=1), make_eval(seed=2)
    before["problems"][0]["samples"] = before["problems"][0]["samples"][:3]
    compared = compare_evals(before=before, after=after, n_resamples=5)
    assert (compared["pass@2"].n, compared["pass@8"].n) == (20, 19)
    rest = [{**side, "problems": side["problems"][1:]} for side in (before, after)]
    assert compared["pass@8"].value == compare_evals(before=rest[0], after=rest[1], n_resamples=5)["pass@8"].value


def test_the_constant_baseline_is_the_one_of_the_pairs():
    record = make_eval(missing=0.3)
    records = Records.of(record)
    _, y, problem = records.pairs()
    n, c = np.bincount(problem, minlength=20), np.bincount(problem, weights=y, minlength=20)
    found = summarise_eval(record, n_resamples=5)["brier_constant"]
    assert found.value == pytest.approx(constant_baseline_brier(n, c))


def test_two_hundred_problems_of_64_samples_take_seconds():
    record = make_eval(problems=200, n=64)
    start = time.process_time()
    summarise_eval(record)
    assert time.process_time() - start < 10  # 1.7 s on the machine this was written on
