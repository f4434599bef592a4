"""Write one parquet file per generation batch: every completion with its terms, reward, advantage, what dropped it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from rlvr.advantages.rollouts import Signal
from rlvr.core.files import replacing
from rlvr.core.old_names import old_keywords
from rlvr.core.records import Completion, Problem
from rlvr.runs.pass_rate import THROWN


def problem_name(row: Mapping[str, Any]) -> str:
    """Return the id of a row of the training set; without one, a name made of its prompt.

    A row without a prompt, which TRL asks of an environment (environment_factory), is named by all that it holds.

    >>> problem_name({"id": 7, "prompt": "2+2?"}), problem_name({"prompt": "2+2?"})
    ('7', 'prompt-ab8c9f78ab2d')
    >>> problem_name({"environment": "maze"})
    'row-d5aa635da843'
    """
    if row.get("id") is not None:
        return str(row["id"])
    kind, content = ("prompt", row["prompt"]) if "prompt" in row else ("row", dict(row))
    return f"{kind}-{hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:12]}"


def unjudged(row: Mapping[str, Any], text: str, ids: Sequence[int]) -> Completion:
    """Return a Completion that no scorer has looked at: no verdict, no answer, no confidence."""
    prompt = row.get("prompt", "")  # an environment's prompt is not in the row
    prompt = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
    problem = Problem(problem_name(row), [{"role": "user", "content": prompt}], row.get("answer", ""))
    return Completion(problem, text, format_ok=True, correct=None, n_tokens=len(ids))  # no tags were asked for


@old_keywords(records="completions")
def write_rollouts(
    path: Path,
    *,
    step: int,
    completions: Sequence[Completion],
    terms: Mapping[str, Sequence[float]],
    reward: Tensor,
    signal: Signal | None,
    propensity: Tensor | None = None,
    thrown: Sequence[Completion] = (),
) -> None:
    """Write the completions of one generation batch (P * G rows, prompt-major), atomically.

    `terms` maps each reward term to its value per completion (NaN: not applicable); `reward` is (P, G).
    `propensity` (P,) is the probability with which each problem was drawn, null where the order was fixed.
    `dropped_by` names the transform that removed a completion, or is null. `thrown` are whole groups that dynamic
    sampling did not use: they follow, without a reward, dropped by "thrown_away".
    """
    group_size = reward.shape[1]
    unused = [None] * len(thrown)
    completions = [*completions, *thrown]
    n = len(completions)
    adv: list[float | None] = [None] * n
    keep: list[bool | None] = [None] * n
    dropped_by: list[str | None] = [None] * n
    if signal is not None:
        per_row = signal.adv if signal.adv.dim() == 2 else signal.adv.mean(-1)
        adv = [*per_row.reshape(-1).tolist(), *unused]
        keep = [*signal.keep_PG.reshape(-1).tolist(), *(False for _ in thrown)]
        for name, mask in signal.dropped.items():
            for i in mask.reshape(-1).nonzero()[:, 0].tolist():
                dropped_by[i] = name
    dropped_by[n - len(thrown) :] = [THROWN] * len(thrown)
    drawn = [None] * n if propensity is None else [*propensity.repeat_interleave(group_size).tolist(), *unused]
    columns = {
        "step": [step] * n,
        "group": [i // group_size for i in range(n)],
        "problem_id": [c.problem.id for c in completions],
        "task": [c.problem.task for c in completions],
        "prompt": [c.problem.prompt[-1]["content"] for c in completions],
        "completion": [c.text for c in completions],
        "gold": [str(c.problem.answer) for c in completions],
        "answer": [c.answer for c in completions],
        "confidence": pa.array([c.confidence for c in completions], pa.float64()),
        "correct": pa.array([c.correct for c in completions], pa.bool_()),
        "format_ok": [c.format_ok for c in completions],
        "n_tokens": [c.n_tokens for c in completions],
        "truncated": [c.truncated for c in completions],
        **{
            f"term/{name}": pa.array([*values, *unused], pa.float64(), from_pandas=True)
            for name, values in terms.items()
        },
        "reward": pa.array([*reward.reshape(-1).tolist(), *unused], pa.float64(), from_pandas=True),
        "advantage": pa.array(adv, pa.float64()),
        "keep": pa.array(keep, pa.bool_()),
        "dropped_by": pa.array(dropped_by, pa.string()),
        "propensity": pa.array(drawn, pa.float64()),
    }
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
