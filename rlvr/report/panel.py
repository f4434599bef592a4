"""Compute what the page's decision panel starts from, and the same decisions at fixed prices as a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlvr.decide import Decisions, Prices, decide_eval
from rlvr.measure.metrics import EvalArrays
from rlvr.report.show import visible

WRONG = (-1.0, -3.0, -9.0)  # prices of a wrong answer in the table: answering pays from 0.5, 0.75 and 0.9 on
LISTED = 12  # answers that the panel shows, with the decision on each


def panel(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the panel's script needs, as plain JSON; meant for evaluations with some stated confidence.

    `counts`: [confidence, answers, right ones] for each stated confidence, ascending; `silent`: [answers,
    right ones] without one; `answers`: a few, spread over the confidences, as [problem, answer, confidence,
    right]. Samples without a verdict are left out.
    """
    arrays = EvalArrays.of(evaluation)
    q_S, y_S, _ = arrays.pairs()
    stated, at_S = np.unique(q_S, return_inverse=True)
    right, n = np.bincount(at_S, weights=y_S), np.bincount(at_S)
    silent_S = ~np.isnan(arrays.correct_S) & np.isnan(arrays.confidence_S)
    answers = [
        [visible(problem["id"]), visible(sample["answer"] or "no answer"), sample["confidence"], sample["correct"]]
        for problem in evaluation["problems"]
        for sample in problem["samples"][:1]
        if sample["confidence"] is not None and sample["correct"] is not None
    ]
    answers.sort(key=lambda row: row[2])
    picked = np.unique(np.linspace(0, len(answers) - 1, min(LISTED, len(answers))).round().astype(int))
    return {
        "counts": [[q, int(k), int(c)] for q, k, c in zip(stated.tolist(), n, right, strict=True)],
        "silent": [int(silent_S.sum()), int(arrays.correct_S[silent_S].sum())],
        "answers": [answers[i] for i in picked],
    }


def decisions_at(evaluation: Mapping[str, Any]) -> list[tuple[float, Decisions]]:
    """Return the decisions for each price of a wrong answer in `WRONG`; right 1, abstain 0."""
    return [(wrong, decide_eval(evaluation, Prices(wrong=wrong))) for wrong in WRONG]
