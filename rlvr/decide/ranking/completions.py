"""Read rlvr's own files as candidates: an evaluation or a run's rollouts become rows that can be shown and ranked."""

import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rlvr.core.errors import DataError
from rlvr.decide.ranking.log import read_rows
from rlvr.measure.metrics.vote import vote_share
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import evaluation_of

Row = dict[str, Any]


def read_candidates(source: Any) -> list[Row]:
    """Read candidates: an evaluation, the rollouts of a run, or a table with list and x/ columns.

    An evaluation is a .json file, an `rlvr.Evaluation` or what one holds; rollouts are a Parquet file with problem_id,
    an `rlvr.Run` or its directory (all its rollouts); a table is a .parquet or .jsonl file, or a list of rows.

    A row of rlvr's own files gets list, candidate (its place in the file, from 0), answer, correct, format_ok, tokens,
    and the features x/tokens, x/confidence (stated; null: none), x/agreement (share of the list with the same answer;
    null without an answer), x/format_ok, x/truncated; evaluations also x/logp (mean log-probability of a token).
    """
    if isinstance(source, list):
        return [dict(row) for row in source]
    is_path = isinstance(source, str | os.PathLike)
    if hasattr(source, "contents") or isinstance(source, Mapping) or (is_path and Path(source).suffix == ".json"):
        problems = evaluation_of(source)["problems"]
        return [row for problem in problems for row in _rows(problem["id"], problem["samples"])]
    path = Path(source if is_path else source.path)  # a Run lives in a room above this one
    if not path.is_dir():
        return _rollouts(path, read_rows(path))
    if not (files := sorted(RunDir(path).rollouts.glob("*.parquet"))):
        raise DataError(f"{path} has no rollouts: the run has not begun, or was told not to keep them (log_rollouts).")
    return [row for file in files for row in _rollouts(file, read_rows(file))]


def _rollouts(path: Path, rows: list[Row]) -> list[Row]:
    """Return the candidates of a rollouts file; a table of another kind as it is."""
    if "problem_id" not in rows[0]:
        return rows
    needed = {"step", "group", "answer", "confidence", "correct", "format_ok", "n_tokens", "truncated"}
    if lacking := sorted(needed - rows[0].keys()):
        raise DataError(f"{path} is no rollouts file of rlvr: it has no column {lacking[0]!r}.")
    groups = groupby(rows, key=lambda row: (row["step"], row["group"], row["problem_id"]))
    return [
        row
        for (step, group, problem), samples in groups
        for row in _rows(f"{problem}/step{step}/group{group}", [{**s, "tokens": s["n_tokens"]} for s in samples])
    ]


def _rows(name: str, samples: Sequence[Mapping[str, Any]]) -> list[Row]:
    shares = vote_share([sample["answer"] for sample in samples])
    rows = []
    for i, (sample, share) in enumerate(zip(samples, shares, strict=True)):
        row = {
            "list": name,
            "candidate": i,
            **{column: sample[column] for column in ("answer", "correct", "format_ok", "tokens")},
            "x/tokens": sample["tokens"],
            "x/confidence": sample["confidence"],
            "x/agreement": share,
            "x/format_ok": sample["format_ok"],
            "x/truncated": sample["truncated"],
        }
        if "logp" in sample:
            known = sample["logp"] is not None and sample["tokens"] is not None
            row["x/logp"] = sample["logp"] / max(sample["tokens"], 1) if known else None
        rows.append(row)
    return rows
