"""Choose a bounded number of completions to read: what the policy wrote, what it earned and what became of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROWS = 200  # completions on the page, over all runs
TEXT = 2048  # bytes of one completion or prompt
SHORT = 200  # bytes of an answer or a gold answer
LAST_FILES = 3


def transcripts(rollouts: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Return completions from the first and the last rollout files of every run, in whole groups.

    Args:
        rollouts: run name -> rollout files in order of steps.

    Returns:
        `rows`, each with `run`, the columns of the file (texts cut to 2 kB, `left_out` characters of the
        completion more in `file`), and `terms`; `notes` on what was left out.
    """
    chosen = {run: _ends(files) for run, files in rollouts.items() if files}
    quota = ROWS // max(1, sum(len(files) for files in chosen.values()))
    rows, total = [], 0
    for run, files in chosen.items():
        for file in files:
            completions, size = _read(file, max(1, quota))
            rows += [{"run": run, "file": f"rollouts/{file.name}", **row} for row in completions]
            total += size
    notes = []
    held = sum(len(files) for files in rollouts.values())
    shown = sum(len(files) for files in chosen.values())
    if rows:
        notes.append(f"{len(rows)} of the {total} completions in {shown} of {held} rollout files (first and last).")
    if cut := sum(row["left_out"] > 0 for row in rows):
        notes.append(f"{cut} long completions are cut to {TEXT} bytes; the files hold all of them.")
    return {"rows": rows, "notes": notes}


def _ends(files: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys([files[0], *files[-LAST_FILES:]]))


def _read(file: Path, quota: int) -> tuple[list[dict[str, Any]], int]:
    """Return at most `quota` rows, in whole groups where one fits, and how many the file holds."""
    with pq.ParquetFile(file) as parquet:
        held = parquet.metadata.num_rows
        first = next(parquet.iter_batches(batch_size=max(quota + 1, 1)), None)
    rows = [] if first is None else first.to_pylist()
    if len(rows) > quota:
        half = rows[quota]["group"]
        whole = [row for row in rows[:quota] if row["group"] != half]
        rows = whole or rows[:quota]
    return [_row(row) for row in rows], held


def _row(row: dict[str, Any]) -> dict[str, Any]:
    short = {key: _cut(row[key], SHORT) for key in ("gold", "answer")}
    text = _cut(row["completion"], TEXT)
    return {
        **{key: value for key, value in row.items() if not key.startswith("term/")},
        **short,
        "prompt": _cut(row["prompt"], TEXT),
        "completion": text,
        "left_out": len(row["completion"]) - len(text or ""),
        "terms": {key.removeprefix("term/"): value for key, value in row.items() if key.startswith("term/")},
    }


def _cut(text: str | None, limit: int) -> str | None:
    """Cut to `limit` bytes of UTF-8, between characters.

    >>> _cut("naïve", 3)
    'na'
    """
    return None if text is None else text.encode()[:limit].decode(errors="ignore")
