"""The operators, whose training problems are those that a rule kept: parts/prune_runs.py writes the file of their ids.

Any other split is that of `operators`, so what is measured is the same for every rule.
"""

import json
from pathlib import Path

from rlvr.core import specs
from rlvr.core.errors import DataError
from rlvr.core.records import Problem

operators = specs.import_file("data", "operators")
VERSION, INLINE, UNIQUE = operators.VERSION, operators.INLINE, operators.UNIQUE
verify, solution, teacher = operators.verify, operators.solution, operators.teacher


def load(split: str, size: int | None, seed: int, table: int = 0, kept: str = "", pool: int = 2048) -> list[Problem]:
    """Return problems of `operators(table=...)`; of the training split those of the first `pool` that `kept` names.

    `kept` is a JSONL file of rows with an `id`.
    """
    if split != "train":
        return operators.load(split, size, seed, table=table)
    ids = {json.loads(line)["id"] for line in Path(kept).read_text(encoding="utf-8").splitlines()}
    problems = [p for p in operators.load("train", pool, seed, table=table) if p.id in ids]
    if len(problems) != len(ids):
        raise DataError(f"{kept} names {len(ids)} problems, of which {len(problems)} are among the first {pool}.")
    return problems[:size]
