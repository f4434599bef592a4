"""The experiments of rank_bias.py: every arm on simulated users, one seed at a time; returns plain numbers."""

import numpy as np
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.gate_use import gate_use
from rlvr.decide.ranking.ips import IPSRanker
from rlvr.decide.ranking.naive import NaiveRanker
from rlvr.decide.ranking.pal import PALRanker
from rlvr.decide.ranking.position_feature import PositionFeatureRanker
from rlvr.decide.ranking.rank import best_of
from rlvr.decide.ranking.simulate import World
from rlvr.decide.ranking.tower import TowerRanker
from rlvr.measure.metrics import ece

LISTS, TEST_LISTS = 3000, 1000  # of 8 candidates
ROUNDS, ROUND_LISTS = 10, 1000
FIT = {"epochs": 8, "batch_size": 512}
ROUND_FIT = {"epochs": 10, "batch_size": 256}
CONFLICT_ROWS, CONFLICT_TEST, CONFLICT_D, CONFLICT_FIT = 6000, 6000, 8, {"epochs": 20, "batch_size": 256}
AGREEMENTS = {"conflicting": -0.9, "agreeing": 0.9}  # cosine between the directions of the two objectives
SHAPES = {"mmoe": {"experts": 4, "width": 16}, "shared bottom": {"experts": 1, "width": 26}}  # 1650, 1666 parameters


def arms(world: World, seed: int) -> dict[str, Ranker]:
    """Return the rankers of one seed by name."""
    common = {**FIT, "seed": seed}
    return {
        "naive": NaiveRanker(**common),
        "position feature": PositionFeatureRanker(**common),
        "IPS, true": IPSRanker(examination=np.exp(world.curve()).tolist(), **common),
        "IPS, estimated": IPSRanker(**common),
        "PAL": PALRanker(**common),
        "tower 0%": TowerRanker(dropout=0.0, **common),
        "tower 10%": TowerRanker(dropout=0.1, **common),
        "tower 30%": TowerRanker(dropout=0.3, **common),
    }


def quality(world: World, X: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Return the mean true relevance of the first candidate, and NDCG with relevance as the gain."""
    relevance = expit(world.logit(X))
    lists = np.repeat(np.arange(len(X)), world.size)
    return {
        "top1": float(best_of(score.ravel(), relevance.ravel(), lists).mean()),
        "ndcg": float(ndcg_score(relevance, score.reshape(relevance.shape))),
    }


def one_log(generator: str, seed: int) -> dict[str, dict]:
    """Fit every arm on one log of the old ranker; return arm -> quality, and the curve where there is one."""
    world, rng = World(generator=generator), np.random.default_rng([seed, 1])
    X, X_test, X_held = (world.candidates(rng, n) for n in (LISTS, TEST_LISTS, TEST_LISTS))
    log, held = (world.show(rng, x, world.old_score(x)) for x in (X, X_held))
    relevance = expit(world.logit(X_test))
    found: dict[str, dict] = {
        "the true relevance": quality(world, X_test, relevance),
        "the old ranker": quality(world, X_test, world.old_score(X_test)),
    }
    for name, ranker in arms(world, seed).items():
        ranker.fit(log.X, log.y, log.bias)
        found[name] = quality(world, X_test, ranker.predict(X_test.reshape(-1, 5)))
        curve = ranker.position_curve()
        if curve is not None and name != "IPS, true":  # which was told the curve
            found[name]["curve"] = list(curve.values())
            found[name]["spearman"] = float(spearmanr(list(curve.values()), world.curve())[0])
        if name.startswith("tower"):  # clicks of a new log by the same old ranker, positions hidden
            found[name]["ece"] = float(ece(ranker.predict_objectives(held.X)["chosen"], held.y["chosen"]))
    return found


def loop(seed: int) -> dict[str, dict[str, list[float]]]:
    """Let each ranker be trained, round after round, on the log that it made itself; the old ranker makes the first.

    Both arms meet the same candidates and the same luck. Returns arm -> per round: quality on test lists, and the
    rank correlation between score and x3, which the old ranker liked and nobody needs.
    """
    world = World()
    X_test = world.candidates(np.random.default_rng([seed, 2]), TEST_LISTS)
    found = {}
    for name, kind in (("naive", NaiveRanker), ("tower 10%", TowerRanker)):
        ranker: Ranker | None = None
        rounds: dict[str, list[float]] = {"top1": [], "ndcg": [], "x3": []}
        for i in range(ROUNDS):
            rng = np.random.default_rng([seed, 3, i])
            X = world.candidates(rng, ROUND_LISTS)
            score = world.old_score(X) if ranker is None else ranker.predict(X.reshape(-1, 5)).reshape(X.shape[:2])
            log = world.show(rng, X, score)
            ranker = kind(**ROUND_FIT, seed=seed).fit(log.X, log.y, log.bias)
            test = ranker.predict(X_test.reshape(-1, 5))
            for key, value in quality(world, X_test, test).items():
                rounds[key].append(value)
            rounds["x3"].append(float(spearmanr(test, X_test[..., 3].ravel())[0]))
        found[name] = rounds
    return found


def conflict(agreement: float, seed: int) -> dict[str, dict]:
    """Fit both shapes on two objectives, correct (yes or no) and cost (tokens); return losses on new rows, gate use.

    Each objective is u + sin(2u + a) + sin(4u + b) of its own direction u = w.x, |w| = 1, with random a, b and the
    given cosine between the directions (the synthetic tasks of 10.1145/3219819.3220007, with two sines).
    """
    rng = np.random.default_rng([seed, 4])
    basis = np.linalg.qr(rng.standard_normal((CONFLICT_D, 2)))[0].T
    directions = np.array([[1, 0], [agreement, np.sqrt(1 - agreement**2)]]) @ basis
    phases = rng.uniform(0, 2 * np.pi, (2, 2))
    X = rng.standard_normal((CONFLICT_ROWS + CONFLICT_TEST, CONFLICT_D))
    u = X @ directions.T
    z = u + np.sin(2 * u + phases[0]) + np.sin(4 * u + phases[1])
    correct = (rng.random(len(X)) < expit(2 * z[:, 0])).astype(float)
    cost = 100 + 20 * (z[:, 1] + 0.1 * rng.standard_normal(len(X)))
    train, test = slice(CONFLICT_ROWS), slice(CONFLICT_ROWS, None)
    bias = {"position": np.resize([1, 2], CONFLICT_ROWS).astype(object)}  # no choices here: the position does nothing
    found = {}
    for name, shape in SHAPES.items():
        ranker = NaiveRanker(**shape, **CONFLICT_FIT, seed=seed)
        ranker.fit(X[train], {"correct": correct[train], "cost": cost[train]}, bias)
        p, tokens = (ranker.predict_objectives(X[test])[k] for k in ("correct", "cost"))
        p = p.clip(1e-6, 1 - 1e-6)
        use = gate_use(ranker.gates(X[test]))
        log_loss = -np.mean(correct[test] * np.log(p) + (1 - correct[test]) * np.log(1 - p))
        error = np.mean((tokens - cost[test]) ** 2) / cost[test].var()
        found[name] = {
            "correct": float(log_loss),
            "cost": float(error),
            "total": float(log_loss + error),
            "parameters": ranker.net_.n_parameters(),
            "entropy": use.entropy_K.tolist(),
            "share": use.share_KE.tolist(),
        }
    return found
