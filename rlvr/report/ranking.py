"""Describe a fitted ranker and its re-ranking, as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.decide.ranking.base import Ranker
from rlvr.decide.ranking.gate_use import gate_use
from rlvr.decide.ranking.log import Log
from rlvr.decide.ranking.rank import best_of, missing_features
from rlvr.measure.metrics import bootstrap_mean
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table


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
