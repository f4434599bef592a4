"""The experiments of rank_bias.py: every arm on simulated users, one seed at a time; returns plain numbers."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.gate_use import gate_use
from rlvr.decide.ranking.log import Log
from rlvr.decide.ranking.naive import NaiveRanker
from rlvr.decide.ranking.position_feature import PositionFeatureRanker
from rlvr.decide.ranking.rank import best_of
from rlvr.decide.ranking.simulate import World
from rlvr.decide.ranking.tower import TowerRanker
from rlvr.measure.metrics import ece

LISTS, TEST_LISTS = 3000, 1000  # of 8 candidates
ROUNDS, ROUND_LISTS, ROUND_UPDATES, EXPLORATION = 10, 1000, 300, 0.1
FIT = {"epochs": 8, "batch_size": 512}
OBJECTIVE_ROWS, OBJECTIVE_D, AGREEMENT = (6000, 2000, 6000), 8, -0.9  # train, validation, test; cosine of directions
OBJECTIVE_FIT, STARTS = {"epochs": 100, "batch_size": 512}, 3
SHAPES = {
    "mmoe": {"experts": 4, "width": 8, "gate_dropout": 0.1},  # 506 parameters
    "shared bottom": {"experts": 1, "width": 13},  # 481
}


def arms(world: World, seed: int) -> dict[str, Ranker]:
    """Return the rankers of one seed by name."""
    common = {**FIT, "seed": seed}
    return {
        "naive": NaiveRanker(**common),
        "position feature": PositionFeatureRanker(**common),
        "tower 0%": TowerRanker(dropout=0.0, **common),
        "tower 10%": TowerRanker(dropout=0.1, **common),
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
        if curve is not None:
            found[name]["curve"] = list(curve.values())
            found[name]["spearman"] = float(spearmanr(list(curve.values()), world.curve())[0])
        if name.startswith("tower"):  # clicks of a new log by the same old ranker, positions hidden
            found[name]["ece"] = float(ece(ranker.predict_objectives(held.X)["chosen"], held.y["chosen"]))
    return found


def loop(seed: int) -> dict[str, dict[str, list[float]]]:
    """Let each ranker be trained, round after round, on all logs so far: the old ranker's first, then its own.

    Both arms meet the same candidates and the same luck, with little exploration, and take as many updates in every
    round. Returns arm -> per round: quality on test lists, and the rank correlation between score and x3, which the
    old ranker liked and nobody needs.
    """
    world = World(exploration=EXPLORATION)
    X_test = world.candidates(np.random.default_rng([seed, 2]), TEST_LISTS)
    found = {}
    for name, kind in (("naive", NaiveRanker), ("tower 10%", TowerRanker)):
        ranker: Ranker | None = None
        logs: list[Log] = []
        rounds: dict[str, list[float]] = {"top1": [], "ndcg": [], "x3": []}
        for i in range(ROUNDS):
            rng = np.random.default_rng([seed, 3, i])
            X = world.candidates(rng, ROUND_LISTS)
            score = world.old_score(X) if ranker is None else ranker.predict(X.reshape(-1, 5)).reshape(X.shape[:2])
            logs.append(world.show(rng, X, score))
            rows = np.concatenate([log.X for log in logs])
            chosen = np.concatenate([log.y["chosen"] for log in logs])
            position = np.concatenate([log.bias["position"] for log in logs])
            batch = -(-8 * len(rows) // ROUND_UPDATES)  # eight passes are all updates of a round, however long the log
            ranker = kind(epochs=8, batch_size=batch, seed=seed)
            ranker.fit(rows, {"chosen": chosen}, {"position": position})
            test = ranker.predict(X_test.reshape(-1, 5))
            for key, value in quality(world, X_test, test).items():
                rounds[key].append(value)
            rounds["x3"].append(float(spearmanr(test, X_test[..., 3].ravel())[0]))
        found[name] = rounds
    return found


class Objectives:
    """Draw two objectives, correct (yes or no) and cost (tokens), of directions that nearly oppose each other.

    Each is u + sin(2u + a) + sin(4u + b) of its own direction u = w.x, |w| = 1, with random a, b and the cosine
    AGREEMENT between the directions (the synthetic tasks of 10.1145/3219819.3220007, with two sines).
    """

    def __init__(self, seed: int):
        rng = np.random.default_rng([seed, 4])
        basis = np.linalg.qr(rng.standard_normal((OBJECTIVE_D, 2)))[0].T
        directions = np.array([[1, 0], [AGREEMENT, np.sqrt(1 - AGREEMENT**2)]]) @ basis
        phases = rng.uniform(0, 2 * np.pi, (2, 2))
        self.X = rng.standard_normal((sum(OBJECTIVE_ROWS), OBJECTIVE_D))
        u = self.X @ directions.T
        z = u + np.sin(2 * u + phases[0]) + np.sin(4 * u + phases[1])
        correct = (rng.random(len(self.X)) < expit(2 * z[:, 0])).astype(float)
        cost = 100 + 20 * (z[:, 1] + 0.1 * rng.standard_normal(len(self.X)))
        self.y = {"correct": correct, "cost": cost}
        ends = np.cumsum((0, *OBJECTIVE_ROWS))
        self.parts = [slice(a, b) for a, b in itertools.pairwise(ends)]

    def fit(self, shape: Mapping[str, Any], start: int, names: Sequence[str] = ("correct", "cost"), epochs: int = 0):
        """Train a shape on the objectives named, from a start of its own; `epochs` in place of the usual number."""
        rows = self.parts[0]
        labels = {name: self.y[name][rows] for name in names}
        bias = {"position": np.resize([1, 2], OBJECTIVE_ROWS[0]).astype(object)}  # no choices: positions do nothing
        settings = {**OBJECTIVE_FIT, **shape, **({"epochs": epochs} if epochs else {})}
        weights = dict.fromkeys(names, 1.0)  # a cost alone weighs nothing by default, and nothing to rank by is refused
        return NaiveRanker(**settings, weights=weights, seed=start).fit(self.X[rows], labels, bias)

    def losses(self, ranker: Ranker, part: int) -> dict[str, float]:
        """Return log loss (nats) of correct, squared error over variance of cost; part 1: validation, 2: test."""
        rows = self.parts[part]
        predicted, losses = ranker.predict_objectives(self.X[rows]), {}
        if "correct" in predicted:
            p, y = predicted["correct"].clip(1e-6, 1 - 1e-6), self.y["correct"][rows]
            losses["correct"] = float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        if "cost" in predicted:
            cost = self.y["cost"][rows]
            losses["cost"] = float(np.mean((predicted["cost"] - cost) ** 2) / cost.var())
        return losses

    def best_of_starts(self, shape: Mapping[str, Any], seed: int) -> Ranker:
        """Return the one of STARTS fits whose summed loss on the validation rows is the lowest."""
        fits = [self.fit(shape, STARTS * seed + i) for i in range(STARTS)]
        return min(fits, key=lambda ranker: sum(self.losses(ranker, 1).values()))


def objectives(seed: int) -> dict[str, dict]:
    """Fit both shapes on conflicting objectives; return their losses on new rows, and how the gates are used."""
    task, found = Objectives(seed), {}
    for name, shape in SHAPES.items():
        ranker = task.best_of_starts(shape, seed)
        use = gate_use(ranker.gates(task.X[task.parts[2]]))
        losses = task.losses(ranker, 2)
        found[name] = {
            **losses,
            "total": sum(losses.values()),
            "parameters": ranker.net_.n_parameters(),
            "entropy": use.entropy_K.tolist(),
            "share": use.share_KE.tolist(),
        }
    return found


def objectives_pilot(seed: int) -> dict[str, float]:
    """Return what the gates of the experts need, on validation rows of a pilot seed, one start each.

    `conflict`: loss of the shared bottom over that of two networks of its shape, one for each objective, minus 1.
    `unfinished`: loss of each shape over what it is after twice the epochs, minus 1; the larger.
    `busiest`: the largest share that one expert has over both objectives.
    """
    task = Objectives(seed)
    fits = {name: task.fit(shape, seed) for name, shape in SHAPES.items()}
    loss = {name: sum(task.losses(ranker, 1).values()) for name, ranker in fits.items()}
    bottom = SHAPES["shared bottom"]
    alone = [task.fit(bottom, seed, names=(name,)) for name in ("correct", "cost")]
    apart = sum(sum(task.losses(ranker, 1).values()) for ranker in alone)
    longer = {
        name: sum(task.losses(task.fit(shape, seed, epochs=2 * OBJECTIVE_FIT["epochs"]), 1).values())
        for name, shape in SHAPES.items()
    }
    share_KE = gate_use(fits["mmoe"].gates(task.X[task.parts[1]])).share_KE
    return {
        **loss,
        "conflict": loss["shared bottom"] / apart - 1,
        "unfinished": max(loss[name] / longer[name] - 1 for name in SHAPES),
        "busiest": float(share_KE.mean(0).max()),
    }
