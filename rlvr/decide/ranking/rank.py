"""Rank candidates without trusting where the log showed them: fit on choices, say what was learned, re-rank."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import SpecError, did_you_mean
from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.completions import read_candidates
from rlvr.decide.ranking.ips import IPSRanker
from rlvr.decide.ranking.log import Log, feature_matrix, list_names, read_log
from rlvr.decide.ranking.naive import NaiveRanker
from rlvr.decide.ranking.pal import PALRanker
from rlvr.decide.ranking.position_feature import PositionFeatureRanker
from rlvr.decide.ranking.tower import TowerRanker

METHODS: dict[str, type[Ranker]] = {
    "tower": TowerRanker,
    "naive": NaiveRanker,
    "position_feature": PositionFeatureRanker,
    "ips": IPSRanker,
    "pal": PALRanker,
}


@dataclass(frozen=True)
class Ranking:
    """Hold what a log taught and the candidates in their new order.

    Attributes:
        log: what the ranker was fitted on.
        ranker: the fitted ranker: `position_curve()`, `predict(X)`.
        rows: the candidates by `rank_rows`; none where none were given.
        X, lists: their features (N, D) and lists (N,), in the order in which they were given.
    """

    log: Log
    ranker: Ranker
    rows: list[dict[str, Any]]
    X: NDArray[np.float64]
    lists: NDArray[np.object_]


def rank(
    log: str | Path | Sequence[Mapping[str, Any]],
    candidates: Any = None,
    *,
    method: str = "tower",
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Ranking:
    """Fit a ranker on a log of shown candidates and put others into its order, as `rlvr decide rank` does.

    Args:
        log: a file, or rows in memory (columns: docs/rank.md).
        candidates: what `read_candidates` takes: an `Evaluation`, a `Run` (its rollouts), a file, or rows.
        method: one of `METHODS`.
        weights: objective -> weight; None weighs each probability 1 and cost 0.

    Raises SpecError for an unknown method or objective, DataError for a bad row, before anything is fitted.
    """
    if method not in METHODS:
        raise SpecError(did_you_mean("method", method, METHODS))
    rows = [] if candidates is None else read_candidates(candidates)
    where = candidates if isinstance(candidates, str | Path) else "The candidates"
    read = read_log(log)
    X = feature_matrix(where, rows, read.features) if rows else np.empty((0, len(read.features)))
    lists = list_names(where, rows) if rows else np.empty(0, dtype=object)
    ranker = METHODS[method](weights=weights, seed=seed).fit(read.X, read.y, read.bias)
    return Ranking(read, ranker, rank_rows(ranker, rows, X, lists) if rows else [], X, lists)


def missing_features(features: Sequence[str], X: NDArray[np.float64]) -> str:
    """Return which features have no value, and in how many rows, in words.

    >>> missing_features(["x/a", "x/b"], np.array([[1.0, np.nan], [2.0, np.nan]]))
    'x/b in 2 of 2 rows'
    """
    counts = zip(features, np.isnan(X).sum(0), strict=True)
    return ", ".join(f"{name} in {n} of {len(X)} rows" for name, n in counts if n) or "none"


def rank_rows(
    ranker: Ranker, rows: Sequence[Mapping[str, Any]], X: NDArray[np.float64], lists: NDArray[np.object_]
) -> list[dict[str, Any]]:
    """Return the rows, each list in its new order, with `score`, `p/<objective>` (cost in tokens) and `rank` from 1.

    Lists keep their order; ties keep the order of the rows.
    """
    score_N, predicted = ranker.predict(X), ranker.predict_objectives(X)
    places: dict[Hashable, list[int]] = {}
    for i, name in enumerate(lists):
        places.setdefault(name, []).append(i)
    return [
        {
            **rows[i],
            **{f"p/{name}": float(values[i]) for name, values in predicted.items()},
            "score": float(score_N[i]),
            "rank": rank,
        }
        for members in places.values()
        for rank, i in enumerate(sorted(members, key=lambda i: -score_N[i]), 1)
    ]


def best_of(score_N: NDArray, value_N: NDArray, lists: NDArray) -> NDArray[np.float64]:
    """Return, per list, the mean value of the candidates with the highest score (NaN values left out), lists sorted.

    Ties share: a constant score gives what a random pick gives.

    >>> best_of(np.array([1, 2, 5, 5]), np.array([1.0, 0, 1, 0]), np.array(["a", "a", "b", "b"]))
    array([0. , 0.5])
    """
    _, group_N = np.unique(np.asarray(lists, dtype=str), return_inverse=True)
    best_L = np.full(group_N.max() + 1, -np.inf)
    np.maximum.at(best_L, group_N, score_N)
    top = (np.asarray(score_N) == best_L[group_N]) & ~np.isnan(value_N)
    n_L = np.bincount(group_N[top], minlength=len(best_L))
    total_L = np.bincount(group_N[top], np.asarray(value_N, dtype=float)[top], minlength=len(best_L))
    return np.divide(total_L, n_L, out=np.full(len(best_L), np.nan), where=n_L > 0)
