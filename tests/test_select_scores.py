"""Every score: one number per row, higher is harder, deterministic, and equal to its definition where that is short."""

import itertools

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from rlvr.core.errors import DataError
from rlvr.runs.pass_rate import PassRate
from rlvr.select.scores import SCORES, El2n, Forgetting, Memorisation, PassRateScore, Prototype
from rlvr.select.scores.forgetting import count_forgetting

RECORD = PassRate({str(i): (8, min(i, 8)) for i in range(40)})
MAKE = {
    "el2n": lambda: El2n(n_models=2, n_epochs=8),
    "forgetting": lambda: Forgetting(n_models=1, n_epochs=8),
    "memorisation": lambda: Memorisation(n_models=30),
    "pass_rate": lambda: PassRateScore(RECORD),
    "prototype": lambda: Prototype(n_clusters=2),
}


def blobs(n=40, seed=0):
    """Two classes far apart; the last row carries the wrong label and lies between."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = draw.normal(size=(n, 3)) * 0.3 + np.where(y[:, None], 2.0, -2.0)
    X[-1], y[-1] = X[-2] + 0.5, 1
    return X, y


def fit(name):
    X, y = blobs()
    if name == "pass_rate":
        return MAKE[name]().fit([str(i) for i in range(40)])
    return MAKE[name]().fit(X) if name == "prototype" else MAKE[name]().fit(X, y)


def test_the_table_of_scores_is_complete():
    assert set(MAKE) == set(SCORES)


@pytest.mark.parametrize("name", SCORES)
def test_contract(name):
    estimator = MAKE[name]()
    params = estimator.get_params()
    assert clone(estimator).get_params().keys() == params.keys()
    first, second = fit(name), fit(name)
    assert first.scores_.shape == (40,)
    assert np.isfinite(first.scores_).all()
    np.testing.assert_array_equal(first.scores_, second.scores_)
    assert first.get_params() == params or name == "pass_rate"
    assert any(word in SCORES[name].__doc__ for word in ("Source", "posterior"))


@pytest.mark.parametrize("name", ["el2n", "forgetting"])
def test_the_mislabelled_row_is_the_hardest(name):
    assert fit(name).scores_.argmax() == 39


@pytest.mark.parametrize("kind", [El2n, Forgetting, Memorisation])
def test_supervised_scores_need_two_classes_and_matching_rows(kind):
    X, y = blobs()
    with pytest.raises(DataError, match="two classes or more"):
        kind().fit(X, np.zeros(40))
    with pytest.raises(DataError, match=r"found \(40, 3\) and \(39,\)"):
        kind().fit(X, y[1:])


def test_labels_may_be_text():
    X, y = blobs()
    names = np.array(["no", "yes"])[y]
    np.testing.assert_array_equal(El2n(n_models=1).fit(X, names).scores_, El2n(n_models=1).fit(X, y).scores_)


def test_el2n_equals_its_definition():
    """Naive Bayes has no randomness, so its p can be computed apart: three classes, ||p - onehot||."""
    draw = np.random.default_rng(1)
    y = np.arange(30) % 3
    X = draw.normal(size=(30, 2)) + y[:, None]

    class Fixed(GaussianNB):
        def __init__(self, random_state=None):
            super().__init__()
            self.random_state = random_state

    ours = El2n(Fixed(), n_models=2, n_epochs=1).fit(X, y).scores_
    p = GaussianNB().fit(X, y).predict_proba(X)
    expected = [np.sqrt(sum((p[i, k] - (k == y[i])) ** 2 for k in range(3))) for i in range(30)]
    np.testing.assert_allclose(ours, expected)
    assert ours.max() <= np.sqrt(2)


def test_forgetting_events_by_hand():
    histories = {"1111": 0, "0001": 0, "1010": 2, "0110": 1, "0000": 4, "1000": 1}
    correct = np.array([[c == "1" for c in h] for h in histories]).T
    assert count_forgetting(correct).tolist() == list(histories.values())


def test_forgetting_counts_against_brute_force():
    for bits in itertools.product([False, True], repeat=5):
        events = sum(a and not b for a, b in itertools.pairwise(bits))
        assert count_forgetting(np.array(bits)[:, None])[0] == (events if any(bits) else 5)


def test_any_classifier_with_partial_fit_is_a_probe():
    X, y = blobs()
    assert Forgetting(SGDClassifier(), n_epochs=3).fit(X, y).scores_.shape == (40,)


def test_memorisation_of_a_lookup_table_is_known():
    """One nearest neighbour: inside, every row is right. Outside, the nearest row that is inside answers.

    Row 0 alone has its class, so it is always wrong outside: 1. Its neighbours have three others of their class at
    0.1, 0.2 and 0.3; with 4 of 5 rows inside, one is out at a time and its neighbour of the same class answers: 0.
    """
    X, y = np.array([[-9.0], [0.0], [0.1], [0.2], [0.3]]), np.array([0, 1, 1, 1, 1])
    found = Memorisation(KNeighborsClassifier(1), n_models=60, subset=0.8).fit(X, y)
    assert found.scores_.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert (found.n_in_ > 30).all() and found.n_in_.sum() == 60 * 4
    # With 3 of 5 inside, row 1 is still always right outside unless row 0 stands alone against it, which 3 rows exclude.
    assert Memorisation(KNeighborsClassifier(1), n_models=60, subset=0.6).fit(X, y).scores_[1] == 0.0


def test_memorisation_equals_a_loop_over_the_same_subsets():
    """The estimate from its definition, row by row, with the subsets drawn again from the seed."""
    X, y = blobs()
    X = X + np.random.default_rng(2).normal(size=X.shape) * 2.5  # overlapping classes: some rows are hard
    ours = Memorisation(KNeighborsClassifier(3), n_models=25, subset=0.5, seed=4).fit(X, y)
    draw = np.random.default_rng(4)
    subsets = [set(draw.permutation(40)[:20].tolist()) for _ in range(25)]
    models = [KNeighborsClassifier(3).fit(X[sorted(s)], y[sorted(s)]) for s in subsets]
    right = [model.predict(X) == y for model in models]
    for i in range(40):
        inside = [r[i] for s, r in zip(subsets, right, strict=True) if i in s]
        outside = [r[i] for s, r in zip(subsets, right, strict=True) if i not in s]
        assert ours.scores_[i] == pytest.approx(np.mean(inside) - np.mean(outside))
    assert ours.scores_.max() > 0.3


def test_memorisation_refuses_a_row_that_was_never_out():
    X, y = blobs()
    with pytest.raises(DataError, match="always in or always out"):
        Memorisation(LogisticRegression(), n_models=2).fit(X, y)


def test_prototype_distance_against_scikit_learns_cosines():
    X, _ = blobs()
    found = Prototype(n_clusters=3).fit(X)
    theirs = 1 - cosine_similarity(X - X.mean(0), found.centres_).max(1)
    np.testing.assert_allclose(found.scores_, theirs, atol=1e-12)
    assert found.scores_.min() >= 0 and found.scores_.max() <= 2
    with pytest.raises(DataError, match="50 centres need as many rows"):
        Prototype(n_clusters=50).fit(X)


def test_pass_rate_posterior_against_scipy():
    found = PassRateScore(PassRate({"a": (8, 7), "b": (16, 0)})).fit(["b", "a", "never"])
    np.testing.assert_allclose(found.scores_, [1 - beta(0.5, 16.5).mean(), 1 - beta(7.5, 1.5).mean(), 0.5])
    np.testing.assert_allclose(found.intervals_[1], 1 - np.array(beta(7.5, 1.5).interval(0.95))[::-1])
    assert found.attempts_.tolist() == [16, 8, 0]
