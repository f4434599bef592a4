"""Summarise training: logged means at both ends, what became of every group, the pass rates."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

# Logged name and label, in the order shown; a trailing * stands for every name that begins like this.
LOGGED = (
    ("reward", "reward"),
    ("rewards/*", "reward term {}"),
    ("accuracy", "right"),
    ("format_rate", "format right"),
    ("confidence/mean", "mean confidence"),
    ("confidence/missing", "confidence missing"),
    ("groups/mixed", "groups: mixed"),
    ("groups/all_right", "groups: all right"),
    ("groups/all_wrong", "groups: all wrong"),
    ("groups/no_signal", "groups: no spread in reward"),
    ("kept", "completions in the loss"),
    ("dropped/*", "dropped by {}"),
    ("completions/mean_length", "tokens per completion"),
    ("completions/clipped_ratio", "cut off at the length limit"),
    ("entropy", "entropy (nats per token)"),
    ("kl", "KL to the reference (nats per token)"),
    ("grad_norm", "gradient norm"),
    ("step_time", "seconds per step"),
)


def training_table(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean of each logged quantity over the first tenth of the steps, the last tenth, and all.

    Tenths hold at least one step; steps where a quantity was not logged are left out, and a quantity that
    never was is not in the table.

    >>> rewards = [0.0, None, 1.0]
    >>> [row] = training_table([{"step": step, "reward": reward} for step, reward in enumerate(rewards)])
    >>> row["label"], row["first"], row["last"], row["all"]
    ('reward', 0.0, 1.0, 0.5)
    """
    tenth = max(1, len(metrics) // 10)
    logged = dict.fromkeys(key for row in metrics for key in row)
    rows = []
    for name, label in LOGGED:
        stem = name.removesuffix("*")
        for key in [k for k in logged if k == name or (stem != name and k.startswith(stem))]:
            if key.endswith("/std"):
                continue
            part = key.removeprefix(stem).removesuffix("/mean")
            first, last, whole = (_mean(r.get(key) for r in rs) for rs in (metrics[:tenth], metrics[-tenth:], metrics))
            if not math.isnan(whole):
                rows.append({"key": key, "label": label.format(part), "first": first, "last": last, "all": whole})
    return rows


def trained_seconds(metrics: Sequence[Mapping[str, Any]]) -> float:
    """Return how long a run trained, in seconds, over all processes that it took.

    `seconds` of metrics.jsonl goes on in a resumed run; in files of earlier versions it began at 0 again in each
    process, so what a process had reached when the number falls is added.

    >>> trained_seconds([{"seconds": 8.0}, {"seconds": 16.0}, {"seconds": 0.7}, {"seconds": 1.2}])
    17.2
    """
    before = last = 0.0
    for row in metrics:
        now = row.get("seconds") or last
        before += last if now < last else 0.0
        last = now
    return before + last


def _mean(values: Any) -> float:
    finite = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def group_counts(rollouts: Sequence[Path]) -> dict[str, Any]:
    """Count the groups in all files by kind, and the completions that each transform dropped.

    A completion whose verifier failed is in no group's tally; a group of nothing else is `unverified`.
    """
    groups: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    completions = 0
    for file in rollouts:
        table = pq.read_table(file, columns=["group", "correct", "dropped_by"]).to_pydict()
        completions += len(table["group"])
        dropped.update(name for name in table["dropped_by"] if name is not None)
        verdicts: dict[int, list[bool]] = {}
        for group, correct in zip(table["group"], table["correct"], strict=True):
            verdicts.setdefault(group, []).extend([] if correct is None else [correct])
        groups.update(_kind(judged) for judged in verdicts.values())
    return {"groups": dict(groups), "dropped": dict(sorted(dropped.items())), "completions": completions}


def _kind(verdicts: list[bool]) -> str:
    if not verdicts:
        return "unverified"
    return "all right" if all(verdicts) else "mixed" if any(verdicts) else "all wrong"


def difficulty_table(pass_rates: Mapping[str, Sequence[int]] | None) -> list[tuple[str, int]]:
    """Return how many training problems have pass rates, by the share of attempts that were right.

    >>> difficulty_table({"attempts": [8, 8, 4], "successes": [0, 2, 4]})[:3]
    [('never', 1), ('0% to 5%', 0), ('5% to 25%', 1)]
    """
    if pass_rates is None:
        return []
    rates = [s / a for a, s in zip(pass_rates["attempts"], pass_rates["successes"], strict=True) if a]
    between = [rate for rate in rates if 0 < rate < 1]
    bands = ((0.0, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
    inner = [(f"{low:.0%} to {high:.0%}", sum(low < rate <= high for rate in between)) for low, high in bands]
    return [("never", rates.count(0.0)), *inner, ("always", rates.count(1.0))]
