"""Rank candidates without believing our own past: fit on a log of choices, say what was learned, re-rank best-of-n."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.gate_use import gate_use
from rlvr.decide.ranking.ips import IPSRanker
from rlvr.decide.ranking.log import Log
from rlvr.decide.ranking.naive import NaiveRanker
from rlvr.decide.ranking.pal import PALRanker
from rlvr.decide.ranking.position_feature import PositionFeatureRanker
from rlvr.decide.ranking.tower import TowerRanker
from rlvr.metrics import bootstrap_mean
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table

METHODS: dict[str, type[Ranker]] = {
    "tower": TowerRanker,
    "naive": NaiveRanker,
    "position_feature": PositionFeatureRanker,
    "ips": IPSRanker,
    "pal": PALRanker,
}


def describe(log: Log, ranker: Ranker) -> str:
    """Return what was fitted, as text: the log's counts, how the gates are used, and the learned position curve."""
    names = ranker.objectives_
    counts = ", ".join(f"{name} {int((~np.isnan(log.y[name])).sum())}" for name in names)
    lines = [
        f"{len(set(log.lists))} lists, {len(log.X)} candidates shown, {int(log.y['chosen'].sum())} chosen",
        f"labels: {counts}",
        f"biased by: {', '.join(log.bias)}",
        f"missing features (mean and an indicator): {missing_features(log.features, log.X)}",
        "",
    ]
    use = gate_use(ranker.gates(log.X))
    headers = ("objective", "gate entropy", *(f"expert {e}" for e in range(use.share_KE.shape[1])))
    table = [
        (name, f"{h:.2f}", *(f"{share:.2f}" for share in shares))
        for name, h, shares in zip(names, use.entropy_K, use.share_KE, strict=True)
    ]
    lines += ["gate use (entropy 1: an even mixture; then the mean gate of each expert)"]
    lines += text_table(Table(headers, table))
    curve = ranker.position_curve()
    if curve is not None:
        lines += ["", "position curve (what a position adds to a choice, relative to the first)"]
        shown = [_shown_choices(log, position) for position in curve]
        rows = [
            (str(p), f"{value:+.2f}", f"{rate:.3f}", str(n))
            for (p, value), (rate, n) in zip(curve.items(), shown, strict=True)
        ]
        lines += text_table(Table(("position", "adds", "chosen", "shown"), rows))
    return "\n".join(lines)


def _shown_choices(log: Log, position: int) -> tuple[float, int]:
    here = log.bias["position"] == position
    return float(log.y["chosen"][here].mean()), int(here.sum())


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


def describe_ranking(ranker: Ranker, rows: Sequence[Mapping[str, Any]], X: NDArray, lists: NDArray) -> str:
    """Return how often the best of n is right after ranking, against a random pick, where verdicts are known."""
    correct_N = np.array([np.nan if (c := row.get("correct")) is None else float(c) for row in rows])
    if np.isnan(correct_N).all():
        return f"{len(rows)} candidates ranked; none has a verdict, so there is nothing to measure"
    ranked_L = best_of(ranker.predict(X), correct_N, lists)
    random_L = best_of(np.zeros(len(rows)), correct_N, lists)
    table = [
        ("ranked", str(bootstrap_mean(ranked_L))),
        ("random pick", str(bootstrap_mean(random_L))),
        ("difference", str(bootstrap_mean(ranked_L - random_L))),
    ]
    return "\n".join(text_table(Table(("best of n", "right [95% interval over lists]"), table)))
