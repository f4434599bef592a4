"""One evaluation in numbers, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rlvr.measure.metrics.arrays import EvalArrays
from rlvr.measure.metrics.bootstrap import Interval, bootstrap_mean
from rlvr.measure.metrics.exact import never_certain
from rlvr.measure.metrics.statistics import default_ks, intervals


def summarise_eval(
    eval: Mapping[str, Any],
    ks: Sequence[int] | None = None,
    confidence: str = "stated",
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval | int]:
    """Return every metric of an evaluation with its cluster-bootstrap interval, and the counts they rest on.

    Intervals: `pass@k` for each k; `majority_vote`, `confidence_vote` (accuracy of the vote over all n
    samples); `ece`, `ece_mass`, `ece_debiased`; `brier`, `brier_reliability`, `brier_resolution`,
    `brier_uncertainty` (10 bins); `brier_constant`, the score of the constant chosen on other problems, and
    `brier_skill` = 1 - brier / brier_constant, above 0 when the confidence beats it; `auroc`, `nll` (nats),
    `aurc`, `confidence_mean`, `overconfidence` = mean(confidence - correct); `confidence_missing`,
    `format_rate`, `truncated`, `verifier_failures` (fractions of samples); `tokens` (mean).
    Counts: `problems`, `samples`, `pairs` (samples with verdict and confidence), `unverified` (without a
    verdict).

    A problem whose chance p was computed (`rlvr evaluate --exact`) has pass@k = 1 - (1 - p)^k, whatever was sampled.
    Calibration is over the pairs only; nothing missing is imputed. pass@k leaves samples without a verdict
    out, and for each k the problems with fewer than k verdicts. `Interval.n` is the number of problems that
    took part. `ece_debiased` is max(0, ece - bootstrap bias): it takes away about 40% of the bias of a
    calibrated model and nearly all of it elsewhere. `ece` has the same interval, which may therefore lie
    below the value itself. A rate whose problems all gave one value, such as a pass@k of 1, has `exact_bounds`.

    Args:
        eval: an evaluation, as its file holds it (docs/run-directory.md).
        ks: None takes the powers of two that nine in ten problems have enough verdicts for.
        confidence: one of `CONFIDENCES`, see `EvalArrays.of`.

    Raises:
        DataError: unknown confidence; a k that no problem has enough verdicts for.

    Sources: 2107.03374 (pass@k), 1706.04599 (ECE), and those of each metric.

    >>> sample = {"answer": "4", "tokens": 9, "logp": -1.0, "format_ok": True, "truncated": False}
    >>> right, wrong = ({**sample, "correct": c, "confidence": 0.5} for c in (True, False))
    >>> problems = [{"task": "t", "samples": [right, right]}, {"task": "t", "samples": [right, wrong]}]
    >>> summary = summarise_eval({"problems": problems})
    >>> str(summary["pass@1"]), str(summary["pass@2"]), summary["pairs"]
    ('0.750 [0.50, 1.00]', '1.000 [0.16, 1.00]', 4)
    """
    arrays = EvalArrays.of(eval, confidence)
    ks = default_ks(arrays) if ks is None else ks
    estimates = intervals(arrays, ks, n_resamples=n_resamples, level=level, seed=seed)
    for name in ("ece", "ece_mass", "brier_reliability"):  # a basic interval may reach below what is possible
        low, high = (float(np.maximum(0.0, bound)) for bound in (estimates[name].low, estimates[name].high))
        estimates[name] = replace(estimates[name], low=low, high=high)
    debiased = float(np.maximum(0.0, estimates["ece"].value - estimates["ece"].bias))
    return {
        **estimates,
        "ece_debiased": replace(estimates["ece"], value=debiased, bias=0.0),
        "problems": arrays.n_problems,
        "samples": arrays.problem_S.size,
        "pairs": int(arrays.has_pair_S.sum()),
        "unverified": int(np.isnan(arrays.correct_S).sum()),
    }


def pass_at_1_by_task(eval: Mapping[str, Any], n_resamples: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """Return pass@1 for each task of an evaluation, in order of occurrence.

    Fractions in [0, 1], with intervals over the problems of the task;
    NaN for a task whose samples all lack a verdict. A task whose problems all gave one value has `exact_bounds`.
    Source: 2107.03374.

    >>> problem = {"task": "t", "samples": [{"correct": True, "confidence": None, "answer": "4", "tokens": 9,
    ...            "format_ok": True, "truncated": False}]}
    >>> str(pass_at_1_by_task({"problems": [problem]})["t"])
    '1.000 [0.03, 1.00]'
    """
    arrays = EvalArrays.of(eval)
    rate_P, tasks_P = arrays.rate_P, np.array(arrays.tasks)
    return {
        task: never_certain(bootstrap_mean(rate_P[tasks_P == task], n_resamples=n_resamples, seed=seed))
        for task in dict.fromkeys(arrays.tasks)
    }
