"""Measure the signal of one generation batch: groups, accuracy, what was dropped, format and confidence."""

import math
from collections.abc import Collection, Sequence

from rlvr.advantages.base import all_equal
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.records import Completion
from rlvr.training.answer_metrics import echo, repetition


def signal_metrics(
    rollouts: Rollouts, signal: Signal | None, records: Sequence[Completion] | None, tags: Collection[str]
) -> dict[str, float]:
    """Return metric name -> value of one batch; formulas and units in docs/metrics.md.

    Without records (no scorer) the format and confidence metrics are absent; a mean over nothing is NaN.

    >>> metrics = signal_metrics(Rollouts.of([[1.0, 0.0], [0.0, 0.0]]), None, None, ())
    >>> metrics["accuracy"], metrics["groups/mixed"], metrics["groups/all_wrong"]
    (0.25, 0.5, 0.5)
    """
    correct, n = rollouts.correct_PG.float(), rollouts.correct_PG.numel()
    rate_P = correct.mean(1)
    constant_P1 = all_equal(rollouts.reward_PG.nan_to_num(0.0), rollouts.scored_PG)
    out = {
        "groups/all_right": (rate_P == 1).float().mean().item(),
        "groups/all_wrong": (rate_P == 0).float().mean().item(),
        "groups/mixed": ((rate_P > 0) & (rate_P < 1)).float().mean().item(),
        "groups/no_signal": constant_P1.float().mean().item(),
        "accuracy": correct.mean().item(),
    }
    if signal is not None:
        out["kept"] = signal.keep_PG.float().mean().item()
        for name, mask in signal.dropped.items():
            out[f"dropped/{name}"] = mask.float().mean().item()
    if records:
        stated = [c.confidence for c in records if c.confidence is not None]
        out["format_rate"] = sum(c.format_ok for c in records) / n
        if "confidence" in tags:
            out["confidence/mean"] = sum(stated) / len(stated) if stated else math.nan
            out["confidence/missing"] = 1 - len(stated) / n
        out["answers/repetition"] = repetition(records, rollouts.correct_PG.shape[1])
        out["answers/echo"] = echo(records)
        out["verifier/errors"] = sum(c.correct is None for c in records)
    return out
