"""Operators chosen by how probably the warm-up's teacher works them out whole (near_impossible_testbed.py).

    3caf    3c7 7a2 2f9    9        prompt, working (in <think>), answer: the last total, one guess in ten is right

The teacher's chance of the whole working is the product of its chances for the letters (data/operators.py). Every
problem has three letters, so that cells differ in what the base knows and in nothing else: texts are equally long.

    cell     product of three chances     share of all problems
    easy     above 0.7                    1%
    medium   0.2 to 0.6                   21%
    hard     below 0.02                   25%
    all      any                          100%

"mixture" takes hard and medium in turn. A text comes once; training and held-out ones differ, as in data/operators.py.
"""

import math
from collections.abc import Iterator

from rlvr.core import specs
from rlvr.core.errors import DataError
from rlvr.core.records import Problem

operators = specs.import_file("data", "operators")
VERSION = 1
INLINE = True
KNOWS = (0.99, 0.02)
CELLS = {"easy": (0.7, 1.0), "medium": (0.2, 0.6), "hard": (0.0, 0.02), "all": (0.0, 1.0)}
_CHUNK, _MOST = 4096, 100  # problems drawn at a time, and times: the rarest cell takes about 40 for 500 texts
verify, solution, teacher = operators.verify, operators.solution, operators.teacher


def load(split: str, size: int | None, seed: int, cell: str = "all", table: int = 0) -> list[Problem]:
    """Return `size` problems (default 200) of a cell, each text once; item i depends only on (seed, split, i).

    DataError where a split has fewer texts; there are about 760 easy ones to train on, 110 for validation, 290 to test.

    >>> [p.meta["text"] for p in load("test", 2, 0, cell="mixture")]
    ['7xzs', '3gqe']
    """
    size = 200 if size is None else size
    cells = ("hard", "medium") if cell == "mixture" else (cell,)
    streams = [_stream(split, seed, one, table) for one in cells]
    return [next(streams[i % len(streams)]) for i in range(size)]


def chance(problem: Problem) -> float:
    """Return the teacher's chance of the whole working.

    >>> 0.7 < chance(load("test", 1, 0, cell="easy")[0]) < 1
    True
    """
    return math.prod(operators.chance(letter, KNOWS) for letter in problem.meta["text"][1:])


def _stream(split: str, seed: int, cell: str, table: int) -> Iterator[Problem]:
    if cell not in CELLS:
        raise DataError(f"cell must be one of {', '.join(CELLS)} or mixture, found {cell!r}.")
    low, high = CELLS[cell]
    seen: set[str] = set()
    for chunk in range(_MOST):
        name = f"{seed}-{cell}-{chunk}"  # the seed of operators is part of a text, so any name is one
        problems = operators.load(split, _CHUNK, name, lengths=(3,), answer="last", knows=KNOWS, table=table)
        for problem in problems:
            if low <= chance(problem) <= high and problem.meta["text"] not in seen:
                seen.add(problem.meta["text"])
                yield problem
    raise DataError(f"The {split} split has no more than {len(seen)} {cell} problems: ask for fewer.")
