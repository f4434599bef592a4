"""Two evaluations on the same problems, and what changed between them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlvr.measure.metrics.arrays import EvalArrays, align
from rlvr.measure.metrics.bootstrap import Interval
from rlvr.measure.metrics.statistics import default_ks, intervals


def compare_evals(
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    ks: Sequence[int] | None = None,
    confidence: str = "stated",
    allow_missing: bool = False,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return after - before for every metric of `summarise_eval`, both over the same resampled problems.

    By keyword only: swapped, every sign would flip and nothing would tell.

    `Interval.excludes_zero` says whether the change is told apart from 0. Compare at equal sampling settings:
    temperature alone moves pass@k. A problem counts for pass@k when both sides have k verdicts. `ece`
    subtracts two numbers that are biased upwards; `ece_debiased` takes the difference of their bootstrap
    biases off.

    Args:
        ks: None takes the powers of two that nine in ten problems of both sides have enough verdicts for.
        allow_missing: compare on the shared problems instead of raising when one side has more.

    Raises:
        DataError: the problems do not match (see `align`); otherwise as `summarise_eval`.

    Source: paired bootstrap, Efron and Tibshirani 1993, chapter 8.

    >>> sample = {"correct": False, "confidence": 0.5, "answer": "4", "tokens": 9, "logp": -1.0,
    ...           "format_ok": True, "truncated": False}
    >>> problem = {"id": "a", "gold": "5", "task": "t", "samples": [sample]}
    >>> before = {"problems": [problem]}
    >>> after = {"problems": [{**problem, "samples": [{**sample, "correct": True}]}]}
    >>> str(compare_evals(before=before, after=after)["pass@1"])
    '1.000 [1.00, 1.00]'
    """
    old, new = (EvalArrays.of(eval, confidence) for eval in align(before, after, allow_missing))
    ks = min(default_ks(old), default_ks(new), key=len) if ks is None else ks
    gains = intervals(new, ks, minus=old, n_resamples=n_resamples, level=level, seed=seed)
    ece = gains["ece"]
    return {**gains, "ece_debiased": replace(ece, value=ece.value - ece.bias, bias=0.0)}
