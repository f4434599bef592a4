"""Write a finished batch into the run's rollouts folder: what the advantage read, and what became of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlvr.runs.rollouts_file import write_rollouts
from rlvr.training.batch import GenerationBatch


def log_rollouts(folder: Path, batch: GenerationBatch, reward_names: Sequence[str]) -> None:
    """Write step-NNNNN.parquet: every completion of all processes with its rewards, credit and what dropped it.

    The verdicts are those that the advantage read; null where nobody judged.
    """
    judged, rollouts = batch.judged, batch.rollouts
    completions = judged.completions or judged.texts or []
    if judged.verdicts:
        completions = [replace(c, correct=verdict) for c, verdict in zip(completions, judged.verdicts, strict=True)]
    write_rollouts(
        folder / f"step-{batch.step:05d}.parquet",
        step=batch.step,
        completions=completions,
        terms=dict(zip(reward_names, judged.rewards_NF.T.tolist(), strict=True)),
        reward=rollouts.reward_PG,
        signal=batch.signal,
        propensity=None if batch.draws is None else batch.draws.propensity_P,
        thrown=batch.thrown,
    )
