"""Policies on stored evaluations: payoffs by hand, honest thresholds, drawing again, intervals, the commands."""

import doctest
import json

import numpy as np
import pytest

import rlvr
from rlvr.core.errors import DataError, SpecError
from rlvr.decide import ACTIONS, Prices, decide_eval, eval_contents, risk_by_coverage, vote_eval
from rlvr.decide.next_draw import NextDraw
from rlvr.decide.on_eval import ACT, ALWAYS, CONSTANT, NEVER
from rlvr.decide.policies import always_answer, best_threshold, play, with_threshold
from rlvr.measure.metrics import Records, risk_coverage
from rlvr.runs.eval_file import save_eval
from tests.conftest import REPO
from tests.fake_run import drawn_evaluation, evaluation, full_run, sample, write_run

NAN = float("nan")
Q = np.array([0.9, 0.9, 0.2, NAN])
Y = np.array([1.0, 0.0, 1.0, 1.0])
P = np.array([0, 0, 1, 1])


def drawn(seed=2, honesty=0.9, prefix="", **kwargs):
    record = drawn_evaluation(seed, 0.0, honesty, **kwargs)
    for problem in record["problems"]:
        problem["id"] = prefix + problem["id"]
    return record


# Payoffs by hand: wrong -5, abstain -0.1: answering pays from (5 - .1) / 6 = .817


def test_payoffs_by_hand():
    prices = Prices(wrong=-5, abstain=-0.1)
    acted = play(Q, Y, P, prices)
    assert acted.payoff_S.tolist() == [1, -5, -0.1, -0.1]
    assert acted.answered_S.tolist() == [1, 1, 0, 0]
    assert acted.right_S.tolist() == [1, 0, 0, 0]
    assert always_answer(Y, prices).payoff_S.tolist() == [1, -5, 1, 1]
    assert with_threshold(Q, Y, prices, 0.2).payoff_S.tolist() == [1, -5, 1, -0.1]
    escalating = Prices(wrong=-5, abstain=-0.1, escalate=0.3)
    assert [ACTIONS[i] for i in with_threshold(Q, Y, escalating, 0.5).action_S] == ["answer"] * 2 + ["escalate"] * 2
    assert play(Q, Y, P, escalating).payoff_S.tolist() == [1, -5, 0.3, 0.3]


def test_the_best_threshold_by_hand():
    # gains of answering over abstaining at -1 / 0: +1, -1, +1. From .9 on: 0; from .2 on: +1; never: 0.
    assert best_threshold(Q, Y, P, Prices()) == 0.2
    # Without problem 0 the rest earns +1 from .2 on; without problem 1, +0 from .9 or .2 on: the lower comes first.
    assert best_threshold(Q, Y, P, Prices(), leave_out=True).tolist() == [0.2] * 4
    assert best_threshold(Q, 0 * Y, P, Prices()) == np.inf
    assert best_threshold(np.full(2, NAN), np.ones(2), np.zeros(2, int), Prices()) == np.inf


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_left_out_is_the_threshold_of_the_others(seed):
    records, prices = Records.of(drawn(seed)), Prices(wrong=-3)
    q, y, p = records.confidence_S, records.correct_S, records.problem_S
    found = best_threshold(q, y, p, prices, leave_out=True)
    grid = np.append(np.unique(np.quantile(q[~np.isnan(q)], np.linspace(0, 1, 101), method="lower")), np.inf)
    for one in (0, 7, 33):
        rest = p != one
        earned = [with_threshold(q[rest], y[rest], prices, t).payoff_S.sum() for t in grid]
        mine = with_threshold(q[rest], y[rest], prices, found[p == one][0]).payoff_S.sum()
        assert mine == pytest.approx(max(earned))


# Drawing again


def test_drawing_again_by_hand():
    # One problem, q = .2, .6, 1.0, the last one right. On validation all were right: from .2 the next earned
    # (1 + 1) / 2 = 1, from .6 (.2 + 1) / 2 = .6. At -0.1 a draw: from .2 draw .6; .6 - .1 > .2, draw 1.0; answer.
    q, y, p = np.array([0.2, 0.6, 1.0]), np.array([0.0, 0.0, 1.0]), np.zeros(3, int)
    draw = NextDraw(groups=3).fit(q, np.ones(3), p)
    found = play(q, y, p, Prices(resample=-0.1), draw)
    assert found.draws_S.tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.payoff_S, [0.8, 0.9, 1.0])
    assert play(q, y, p, Prices(resample=-1.1), draw).draws_S.tolist() == [1, 1, 1]


def test_drawing_ends_when_all_samples_were_seen():
    q, y, p = np.array([0.1, 0.1, 0.2, 0.2]), np.zeros(4), np.array([0, 0, 1, 1])
    draw = NextDraw(groups=1).fit([0.0, 1.0], [0, 1], [0, 0])  # believes that the next may be sure
    found = play(q, y, p, Prices(resample=-0.01), draw)
    assert found.draws_S.tolist() == [2, 2, 2, 2]
    np.testing.assert_allclose(found.payoff_S, -0.01)


@pytest.mark.parametrize("knows", [True, False])
def test_draws_are_bought_where_the_confidence_knows_and_only_there(knows):
    sides = []
    for seed, prefix in ((3, ""), (4, "v/")):
        record = drawn(seed, prefix=prefix)
        rng = np.random.default_rng(seed)
        for problem in record["problems"]:
            for s in problem["samples"]:
                s["confidence"] = (0.95 if s["correct"] else 0.05) if knows else round(float(rng.random()), 2)
        sides.append(record)
    test, validation = sides
    once = decide_eval(test, Prices(wrong=-3), validation=validation, n_resamples=50).policies[ACT]
    again = decide_eval(test, Prices(wrong=-3, resample=-0.05), validation=validation, n_resamples=50).policies[ACT]
    assert once["draws"].value == 1
    if knows:
        assert again["utility"].value > once["utility"].value + 0.1
        assert again["draws"].value > 1
    else:
        assert again["utility"].value > once["utility"].value - 0.05


# Evaluations


def test_measures_equal_a_plain_recomputation():
    record, prices = drawn(), Prices(wrong=-3)
    found = decide_eval(record, prices, n_resamples=200)
    samples = [s for p in record["problems"] for s in p["samples"]]
    answered = [s for s in samples if s["confidence"] is not None and s["confidence"] >= 0.75]
    right = sum(s["correct"] for s in answered)
    act = found.policies[ACT]
    assert act["utility"].value == pytest.approx((right - 3 * (len(answered) - right)) / len(samples))
    assert act["coverage"].value == pytest.approx(len(answered) / len(samples))
    assert act["selective_accuracy"].value == pytest.approx(right / len(answered))
    accuracy = np.mean([s["correct"] for s in samples])
    assert found.policies[ALWAYS]["utility"].value == pytest.approx(accuracy - 3 * (1 - accuracy))
    assert found.policies[NEVER]["utility"].value == 0
    for policy, gain in found.gains.items():
        assert gain.value == pytest.approx(act["utility"].value - found.policies[policy]["utility"].value)
        assert gain.low <= gain.value <= gain.high
    assert found.missing == sum(s["confidence"] is None for s in samples) > 0


def test_an_honest_confidence_earns_what_the_best_threshold_earns_and_a_random_one_does_not():
    honest = decide_eval(drawn(2, 1.0), Prices(wrong=-3), n_resamples=300)
    assert honest.gains[ALWAYS].low > 0
    assert not honest.gains[CONSTANT].high < 0
    noise = decide_eval(drawn(2, 0.0), Prices(wrong=-3), n_resamples=300)
    assert noise.gains[CONSTANT].high < 0


def test_recalibration_on_validation_mends_a_bias():
    def dented(record):
        for problem in record["problems"]:
            for s in problem["samples"]:
                s["confidence"] = None if s["confidence"] is None else round(s["confidence"] ** 4, 3)
        return record

    test, validation = dented(drawn(2, 1.0)), dented(drawn(5, 1.0, prefix="v/"))
    stated = decide_eval(test, Prices(wrong=-3), n_resamples=50)
    mended = decide_eval(test, Prices(wrong=-3), validation=validation, recalibration="isotonic", n_resamples=50)
    assert mended.policies[ACT]["utility"].value > stated.policies[ACT]["utility"].value + 0.02
    assert mended.policies[ALWAYS] == stated.policies[ALWAYS]


def test_prices_of_a_task_and_of_a_problem():
    problems = [
        {"id": f"p{i}", "task": f"t{i % 2}", "gold": "4", "samples": [sample(True, 0.9), sample(False, 0.9)]}
        for i in range(4)
    ]
    own = {"t1": {"wrong": -20.0}, "p3": {"wrong": -2.0, "abstain": 0.5}}
    found = decide_eval(evaluation(problems), Prices(wrong=-2), by_problem=own, n_resamples=20)
    # p0, p2: answer, (1 - 2)/2 each; p1: 0.9 < 20/21, abstain 0; p3 (task t1): threshold 2.5/3, answer, (1 - 2)/2
    assert found.policies[ACT]["utility"].value == pytest.approx(-3 * 0.5 / 4)
    assert found.policies[ACT]["coverage"].value == 0.75


def test_missing_verdicts_and_confidences_are_counted():
    problems = [
        {"id": "a", "task": "t", "gold": "4", "samples": [sample(None, 0.9), sample(True, None), sample(True, 1.0)]}
    ]
    found = decide_eval(evaluation(problems), n_resamples=5)
    assert (found.decisions, found.missing, found.unverified) == (2, 1, 1)
    assert found.policies[ACT]["coverage"].value == 0.5
    assert found.policies[ALWAYS]["coverage"].value == 1


def test_risk_by_coverage_is_the_curve():
    record = drawn()
    q, y, _ = Records.of(record).pairs()
    coverage, risk = risk_coverage(q, y)
    for share, found in risk_by_coverage(record, n_resamples=20).items():
        wrong = np.interp(share * q.size, np.append(0, coverage * q.size), np.append(0, risk * coverage * q.size))
        assert found.value == pytest.approx(wrong / (share * q.size))


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"recalibration": "platt"}, DataError, "recalibration is fitted on validation data only"),
        ({"prices": Prices(resample=-0.1)}, DataError, "the price of resample is fitted on validation"),
        ({"recalibration": "plat", "validation": "other"}, SpecError, "Did you mean 'platt'"),
        ({"validation": "same"}, DataError, "60 problems are in both"),
        ({"by_problem": {"arithmetic/L9": {"wrong": -1}}}, SpecError, "No problem or task 'arithmetic/L9'"),
        ({"by_problem": {"arithmetic/L0": {"worng": -1}}}, SpecError, "Did you mean 'wrong'"),
        ({"by_problem": {"arithmetic/L0": {"escalate": 0.1}}}, SpecError, "No price 'escalate'"),
        ({"confidence": "statd"}, DataError, "Did you mean 'stated'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    record = drawn()
    validation = {"same": record, "other": drawn(4, prefix="v/")}.get(arguments.get("validation"))
    with pytest.raises(error, match=message):
        decide_eval(record, **{**arguments, "validation": validation})


def test_nothing_to_decide_on():
    with pytest.raises(DataError, match="No sample of this evaluation has a verdict"):
        decide_eval(evaluation([]))


# The commands


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evals")
    save_eval(drawn(3), folder / "test.json")
    save_eval(drawn(4, prefix="v/"), folder / "validation.json")
    (folder / "prices.json").write_text(json.dumps({"arithmetic/L5": {"wrong": -20}}))
    (folder / "bad.json").write_text('{"arithmetic/L5": -20}')
    return folder


def test_the_command_prints_every_policy_and_the_curve(files, cli):
    test = files / "test.json"
    done = cli("decide utility", test, "--wrong", "-5", "--abstain", "0", "--plot", files / "rc.svg")
    assert done.code == 0
    text = done.out
    assert "answering pays from P(right) = 0.833 on" in text
    for row in (ACT, ALWAYS, NEVER, CONSTANT, "100%"):
        assert f"\n{row}" in text
    assert (files / "rc.svg").read_text().startswith("<svg")
    assert cli("decide", test, "--wrong", "-5") == (0, text, "")  # a file means utility


def test_the_command_with_everything(files, cli):
    arguments = ["--wrong", "-3", "--escalate", "-0.1", "--resample", "-0.05", "--recalibrate", "platt"]
    arguments += ["--validation", str(files / "validation.json"), "--prices", str(files / "prices.json")]
    done = cli("decide utility", files / "test.json", *arguments)
    assert done.code == 0
    text = done.out
    assert "escalated" in text
    assert "draws" in text


def test_votes_on_the_command_line(files, cli):
    done = cli("decide vote", files / "test.json", "--ns", "1", "3", "--plot", files / "v.svg")
    assert done.code == 0
    text = done.out
    assert "n = 3" in text
    assert "most confident - majority" in text
    assert "confidence-weighted" in (files / "v.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["utlity"], "Did you mean 'utility'"),
        (["nothing.json"], "Cannot read the evaluation"),
        (["utility", "TEST", "--wrong", "2"], "wrong must be worth less than right"),
        (["utility", "TEST", "--prices", "BAD"], "must map problem ids or tasks to prices"),
        (["utility", "TEST", "--prices", "gone.json"], "Cannot read the prices"),
        (["vote", "TEST", "--ns", "99"], "needs 99 samples per problem"),
    ],
)
def test_mistakes_are_one_line(files, arguments, message, cli):
    names = {"TEST": str(files / "test.json"), "BAD": str(files / "bad.json")}
    done = cli("decide", *(names.get(a, a) for a in arguments))
    assert done.code == 2
    assert message in done.err


# From Python: the same from objects, files and directories


def test_objects_files_and_directories_decide_alike(tmp_path):
    """A Run, its directory, its Evaluation, the file and what the file holds give the same decisions and votes."""
    run = full_run(tmp_path / "run")
    file = run / "eval" / "after" / "arithmetic.json"
    contents, prices = json.loads(file.read_text()), Prices(wrong=-3)
    sources = [rlvr.Run(run), run, str(run), rlvr.Evaluation(file), rlvr.Evaluation(contents), file, contents]
    decisions, votes, risks = decide_eval(contents, prices), vote_eval(contents, [1, 4]), risk_by_coverage(contents)
    for source in sources:
        assert repr(decide_eval(source, prices)) == repr(decisions)  # as text, where NaN equals NaN
        assert vote_eval(source, [1, 4]) == votes
        assert risk_by_coverage(source) == risks
    held = rlvr.Evaluation(drawn(5, prefix="v"))
    fitted = decide_eval(rlvr.Run(run), prices, validation=held, recalibration="platt")
    same = decide_eval(contents, prices, validation=dict(held.contents), recalibration="platt")
    assert repr(fitted) == repr(same) != repr(decisions)


def test_a_run_directory_on_the_command_line(tmp_path, cli):
    run = full_run(tmp_path / "run")
    done = cli("decide", run, "--wrong", "-3")
    assert done.code == 0 and "answering pays from" in done.out
    assert done.out == cli("decide utility", run / "eval" / "after" / "arithmetic.json", "--wrong", "-3").out
    assert cli("decide vote", run, "--ns", "1", "2").code == 0


def test_what_is_no_evaluation(tmp_path):
    """Anything else, a run that was not measured, and one that measured two sets: what to do is said."""
    with pytest.raises(DataError, match="Found a list"):
        eval_contents([1, 2])
    with pytest.raises(DataError, match="holds no evaluation after training"):
        eval_contents(write_run(tmp_path / "none"))
    two = write_run(tmp_path / "two", after=drawn(1))
    save_eval(drawn(2), two / "eval" / "after" / "countdown.json")
    with pytest.raises(DataError, match=r"measured 2 sets .* Give one: .*arithmetic.json, .*countdown.json"):
        decide_eval(two)
    with pytest.raises(DataError, match="no vote can be judged"):
        vote_eval(evaluation([{"id": "a", "task": "t", "gold": "4", "samples": [sample(None)]}]))


def test_the_page_shows_what_python_gives(monkeypatch):
    """Every line after >>> in docs/decide.md gives what stands below it."""
    monkeypatch.chdir(REPO)
    text = (REPO / "docs" / "decide.md").read_text(encoding="utf-8").replace("```", "")
    examples = doctest.DocTestParser().get_doctest(text, {}, "decide.md", "docs/decide.md", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(examples)
    done = runner.summarize(verbose=False)
    assert done.attempted >= 9 and done.failed == 0
