"""Measure one generation batch: its signal, its answers, and what its draws say of the whole training set.

To log one more number at each step, add a function of the batch to `batch_metrics`, and a row to docs/metrics.md.
"""

import math
from collections.abc import Collection, Sequence

from rlvr.advantages.base import all_equal
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.records import Completion
from rlvr.training.answer_metrics import echo, repetition
from rlvr.training.batch import GenerationBatch
from rlvr.training.curriculum.propensity import ipw_mean, self_normalised_mean

VERDICT_METRICS = ("accuracy", "groups/all_right", "groups/all_wrong", "groups/mixed")  # nobody knows them from rewards


def batch_metrics(batch: GenerationBatch, judged: bool, tags: Collection[str] = ()) -> dict[str, float]:
    """Return metric name -> value of a batch that has its credit; `judged` says whether anybody said what is right.

    Formulas and units in docs/metrics.md.
    """
    signal = signal_metrics(batch.rollouts, batch.signal, batch.judged.completions, tags)
    return {
        **{name: value for name, value in signal.items() if judged or name not in VERDICT_METRICS},
        **draw_metrics(batch),
        **(effective_completions(batch) if batch.training else {}),
    }


def effective_completions(batch: GenerationBatch) -> dict[str, float]:
    """Return how many completions an update has, and how many of them carry credit.

    Credit: kept, with an advantage (of a token) that is not 0; with TRL's own advantages, of a group whose rewards
    differ.
    """
    rollouts, signal = batch.rollouts, batch.signal
    if signal is None:
        constant_P1 = all_equal(rollouts.reward_PG.nan_to_num(0.0), rollouts.scored_PG)
        credit_PG = rollouts.scored_PG & ~constant_P1
    else:
        credit_PG = (signal.adv != 0).flatten(2).any(-1) if signal.adv.dim() > 2 else signal.adv != 0
        credit_PG = credit_PG & signal.keep_PG
    return {
        "health/completions": credit_PG.numel() / batch.updates,
        "health/effective_completions": credit_PG.sum().item() / batch.updates,
    }


def draw_metrics(batch: GenerationBatch) -> dict[str, float]:
    """Return what the draws say of the whole set, beside the naive mean over what was drawn (`accuracy`)."""
    if batch.draws is None:
        return {}
    rate_P, propensity_P = batch.rollouts.correct_PG.double().mean(1), batch.draws.propensity_P
    return {
        "accuracy/ipw": ipw_mean(rate_P, propensity_P, batch.draws.set_size),
        "accuracy/self_normalised": self_normalised_mean(rate_P, propensity_P),
        "difficulty/propensity": float(propensity_P.mean()),
    }


def signal_metrics(
    rollouts: Rollouts, signal: Signal | None, completions: Sequence[Completion] | None, tags: Collection[str]
) -> dict[str, float]:
    """Return metric name -> value of one batch; formulas and units in docs/metrics.md.

    Without completions (no scorer) the format and confidence metrics are absent; a mean over nothing is NaN.

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
    if completions:
        stated = [c.confidence for c in completions if c.confidence is not None]
        out["format_rate"] = sum(c.format_ok for c in completions) / n
        if "confidence" in tags:
            out["confidence/mean"] = sum(stated) / len(stated) if stated else math.nan
            out["confidence/missing"] = 1 - len(stated) / n
        out["answers/repetition"] = repetition(completions, rollouts.correct_PG.shape[1])
        out["answers/echo"] = echo(completions)
        out["verifier/errors"] = sum(c.correct is None for c in completions)
    return out
