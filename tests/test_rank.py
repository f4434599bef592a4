"""The rankers: closed forms where there are no features, recovery where the truth is known, and what serving ignores."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from rlvr.core.errors import DataError, SpecError
from rlvr.decide.ranking.ips import IPSRanker
from rlvr.decide.ranking.naive import NaiveRanker
from rlvr.decide.ranking.pal import PALRanker
from rlvr.decide.ranking.position_feature import PositionFeatureRanker
from rlvr.decide.ranking.rank import METHODS, best_of
from rlvr.decide.ranking.simulate import World
from rlvr.decide.ranking.tower import TowerRanker

QUICK = {"experts": 2, "width": 4, "epochs": 1}


def simulated(generator="pbm", lists=2000, **world):
    world = World(generator=generator, **world)
    rng = np.random.default_rng(5)
    X = world.candidates(rng, lists)
    return world, world.show(rng, X, world.old_score(X))


@pytest.fixture(scope="module")
def small():
    return simulated(lists=40)[1]


# scikit-learn's conventions


@pytest.mark.parametrize("method", METHODS)
def test_parameters_are_stored_as_given(method):
    weights = {"chosen": 2}
    ranker = METHODS[method](weights=weights, width=8, seed=3)
    assert ranker.get_params()["weights"] is weights
    assert clone(ranker).get_params() == ranker.get_params()
    assert ranker.set_params(width=6).width == 6
    assert "width=6" in repr(ranker)
    with pytest.raises(NotFittedError):
        ranker.predict(np.zeros((1, 2)))


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_scores_and_the_global_generator_is_left_alone(method, small):
    state = torch.get_rng_state()
    a, b = (METHODS[method](**QUICK).fit(small.X, small.y, small.bias).predict(small.X) for _ in range(2))
    other = METHODS[method](**QUICK, seed=1).fit(small.X, small.y, small.bias).predict(small.X)
    assert np.array_equal(a, b) and not np.array_equal(a, other)
    assert torch.equal(torch.get_rng_state(), state)


# Without features every method has a closed form


def featureless(counts):
    """A log with one constant feature: counts is position -> (chosen, shown)."""
    position = np.concatenate([[p] * n for p, (_, n) in counts.items()]).astype(object)
    chosen = np.concatenate([np.r_[np.ones(c), np.zeros(n - c)] for c, n in counts.values()])
    return np.zeros((len(chosen), 1)), {"chosen": chosen}, {"position": position}


RATES = featureless({1: (160, 200), 2: (80, 200), 3: (20, 200)})  # 0.8, 0.4, 0.1
LONG = {"experts": 1, "width": 2, "epochs": 150, "batch_size": 200, "lr": 0.03, "weight_decay": 0.0}


def test_naive_gives_the_share_of_choices():
    p = NaiveRanker(**LONG).fit(*RATES).predict_objectives([[0.0]])["chosen"]
    assert p == pytest.approx(260 / 600, abs=0.01)


def test_position_as_a_feature_is_served_at_the_first_position():
    p = PositionFeatureRanker(**{**LONG, "width": 16, "lr": 0.01}).fit(*RATES).predict_objectives([[0.0]])["chosen"]
    assert p == pytest.approx(0.8, abs=0.02)


def test_the_tower_learns_differences_of_logits():
    curve = TowerRanker(dropout=0.0, **LONG).fit(*RATES).position_curve()
    assert list(curve) == [1, 2, 3]
    assert list(curve.values()) == pytest.approx(logit([0.8, 0.4, 0.1]) - logit(0.8), abs=0.05)


def test_pal_learns_ratios_of_examination():
    curve = PALRanker(**LONG).fit(*RATES).position_curve()
    assert list(curve.values()) == pytest.approx([0, math.log(0.4 / 0.8), math.log(0.1 / 0.8)], abs=0.05)


def test_ips_gives_the_mean_of_chosen_over_seen():
    # seen 1, 0.5, 0.2: (160 / 1 + 80 / 0.5 + 20 / 0.2) / 600 = 420 / 600 = 0.7
    ranker = IPSRanker(examination=[1.0, 0.5, 0.2], **LONG).fit(*RATES)
    assert ranker.predict_objectives([[0.0]])["chosen"] == pytest.approx(0.7, abs=0.01)
    # estimated: chosen / seen is 0.8 at every position when the first is always looked at
    assert IPSRanker(**LONG).fit(*RATES).predict_objectives([[0.0]])["chosen"] == pytest.approx(0.8, abs=0.02)
    # the floor cuts 0.2 to 0.5: (160 + 160 + 40) / 600 = 0.6
    floored = IPSRanker(examination=[1.0, 0.5, 0.2], floor=0.5, **LONG).fit(*RATES)
    assert floored.predict_objectives([[0.0]])["chosen"] == pytest.approx(0.6, abs=0.01)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.05, 1), st.booleans())
def test_the_ips_loss_is_the_inverse_propensity_estimate_up_to_a_constant(p, seen, chosen):
    weighed = chosen / seen * (1 - p) ** 2 + (1 - chosen / seen) * p**2
    constant = (chosen / seen) ** 2 - chosen / seen
    assert (p - chosen / seen) ** 2 == pytest.approx(weighed + constant, abs=1e-9)


# Recovery on simulated users


@pytest.mark.parametrize(("generator", "kind"), [("additive", TowerRanker), ("pbm", PALRanker)])
def test_the_right_model_recovers_the_position_curve(generator, kind):
    world, log = simulated(generator)
    curve = np.array(list(kind(epochs=6).fit(log.X, log.y, log.bias).position_curve().values()))
    assert np.abs(curve - world.curve()).mean() < 0.25
    assert spearmanr(curve, world.curve())[0] > 0.9


def test_the_tower_is_not_misled_by_what_the_old_ranker_liked():
    """Naive scores go with x3, which the old ranker liked and nobody needs; the tower's do much less."""
    _, log = simulated()
    found = {
        kind: abs(spearmanr(kind(epochs=6).fit(log.X, log.y, log.bias).predict(log.X), log.X[:, 3])[0])
        for kind in (NaiveRanker, TowerRanker)
    }
    assert found[TowerRanker] < 0.5 * found[NaiveRanker]


@pytest.mark.parametrize("generator", ["pbm", "additive"])
def test_simulated_users_choose_as_they_say(generator):
    """Shown at random, the share of choices at each position is the mean of the formula, by brute force."""
    world = World(generator=generator, size=4)
    rng = np.random.default_rng(0)
    X = world.candidates(rng, 20_000)
    log = world.show(rng, X, rng.standard_normal(X.shape[:2]))
    relevance = 1 / (1 + np.exp(-world.logit(X)))
    odds = relevance / (1 - relevance)
    for k in range(1, 5):
        wanted = relevance / k if generator == "pbm" else (odds / k) / (1 + odds / k)
        assert log.y["chosen"][log.bias["position"] == k].mean() == pytest.approx(wanted.mean(), abs=0.015)


def test_the_old_ranker_agrees_as_much_as_it_says():
    world = World(agreement=0.5)
    X = world.candidates(np.random.default_rng(0), 20_000)
    assert np.corrcoef(world.old_score(X).ravel(), world.logit(X).ravel())[0, 1] == pytest.approx(0.5, abs=0.01)


# Serving


def test_dropout_is_what_trains_the_missing_state(small):
    without, with_it = (TowerRanker(dropout=d, **QUICK).fit(small.X, small.y, small.bias) for d in (0.0, 0.3))
    assert float(without.bias_net_.tables[0][0].detach()) == 0.0
    assert float(with_it.bias_net_.tables[0][0].detach()) != 0.0


@pytest.mark.parametrize("method", METHODS)
def test_a_score_is_the_candidates_own(method, small):
    """The same whatever else is ranked and in whatever order: nothing of the place can enter."""
    ranker = METHODS[method](**QUICK).fit(small.X, small.y, small.bias)
    scores, order = ranker.predict(small.X), np.random.default_rng(1).permutation(len(small.X))
    np.testing.assert_allclose(ranker.predict(small.X[order]), scores[order], rtol=1e-5)
    np.testing.assert_allclose(ranker.predict(small.X[:1]), scores[:1], rtol=1e-5)


# Several objectives, other biases, missing values


def test_objectives_are_learned_from_few_labels_and_cost_comes_back_in_tokens():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 3))
    correct = (X[:, 1] + 0.5 * rng.standard_normal(2000) > 0).astype(float)
    y = {
        "chosen": (rng.random(2000) < 0.3).astype(float),
        "correct": np.where(rng.random(2000) < 0.2, correct, np.nan),  # four of five have no verdict
        "cost": 100 + 20 * X[:, 2],
    }
    ranker = TowerRanker(epochs=15).fit(X, y, {"position": np.resize([1, 2], 2000).astype(object)})
    found = ranker.predict_objectives(X)
    assert ranker.objectives_ == ("chosen", "correct", "cost")
    assert roc_auc_score(correct, found["correct"]) > 0.9
    assert np.abs(found["cost"] - y["cost"]).mean() < 4
    cheap = ranker.set_params(weights={"cost": 1.0}).predict(X)  # other weights, no new fit
    assert spearmanr(cheap, found["cost"])[0] == pytest.approx(-1)


def test_the_tower_explains_the_interface_and_takes_missing_values():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 2))
    X[::7, 1] = np.nan
    interface = rng.choice(np.array(["wide", "narrow", None], dtype=object), 4000)
    p = 1 / (1 + np.exp(-X[:, 0] - np.where(interface == "wide", 1.0, -1.0)))
    bias = {"position": rng.integers(1, 4, 4000).astype(object), "interface": interface}
    ranker = TowerRanker(epochs=6).fit(X, {"chosen": (rng.random(4000) < p).astype(float)}, bias)
    narrow, wide = ranker.bias_net_.tables[1][1:].detach().tolist()
    assert ranker.categories_["interface"] == ["narrow", "wide"]
    assert wide - narrow == pytest.approx(2, abs=0.5)  # +1 against -1
    assert np.isfinite(ranker.predict(X)).all()


def test_best_of_against_brute_force():
    rng = np.random.default_rng(0)
    lists, score = rng.integers(0, 30, 200).astype(str), rng.integers(0, 3, 200)
    value = np.where(rng.random(200) < 0.2, np.nan, rng.random(200))
    wanted = []
    for name in sorted(set(lists)):
        mine = lists == name
        top = [v for s, v in zip(score[mine], value[mine], strict=True) if s == score[mine].max() and not np.isnan(v)]
        wanted.append(np.mean(top) if top else np.nan)
    np.testing.assert_allclose(best_of(score, value, lists), wanted)


# Bad input


ONE = np.ones(4)
GOOD = (np.zeros((4, 1)), {"chosen": np.array([0, 1, 0, 1.0])}, {"position": np.array([1, 2, 1, 2], dtype=object)})


@pytest.mark.parametrize(
    ("X", "y", "bias", "message"),
    [
        (None, {"clicked": ONE}, None, "No objective 'clicked'"),
        (None, None, {"interface": ONE}, "needs the position"),
        (np.zeros((3, 1)), None, None, "need one length"),
        (np.full((4, 1), np.inf), None, None, "infinite"),
        (None, {"chosen": 2 * ONE}, None, "must be 0 or 1; found 2.0"),
        (None, {"chosen": ONE}, None, "no choice to learn from"),
        (None, {"correct": np.nan * ONE}, None, "'correct' has no label at all"),
        (None, None, {"position": ONE.astype(object)}, "shown at one position"),
    ],
)
def test_bad_arrays(X, y, bias, message):
    given = (a if b is None else b for a, b in zip(GOOD, (X, y, bias), strict=True))
    with pytest.raises((DataError, SpecError), match=message):
        NaiveRanker(**QUICK).fit(*given)


@pytest.mark.parametrize(
    ("ranker", "message"),
    [
        (NaiveRanker(experts=0), "experts must be at least 1, found 0"),
        (NaiveRanker(weights={"cost": 1}), "No objective 'cost'"),
        (TowerRanker(dropout=1.0), "dropout must be in"),
        (IPSRanker(examination=[1.0]), "2 positions of the log, found 1"),
        (IPSRanker(examination=[1.0, 0.0]), "probabilities in"),
        (IPSRanker(floor=0), "floor must be in"),
    ],
)
def test_bad_parameters(ranker, message):
    with pytest.raises(SpecError, match=message):
        ranker.fit(*GOOD)


def test_other_bad_calls():
    with pytest.raises(DataError, match="need the objective 'chosen'"):
        IPSRanker().fit(GOOD[0], {"correct": np.array([0, 1, 0, 1.0])}, GOOD[2])
    with pytest.raises(DataError, match="candidates with 1 features, found shape"):
        NaiveRanker(**QUICK).fit(*GOOD).predict(np.zeros((2, 3)))
