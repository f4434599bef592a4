"""Short sums in two answer spaces, cut into cells by how often the warmed-up model solved them (near_impossible.py).

    level  problem                                       level  problem
    0      a number up to 14, + or - one digit           2      five terms
    1      three terms                                   3      two digits x one digit

Digits behind the first term run from 1 to 5, and no running total leaves 0 to 19. "small" asks for the remainder modulo
7, where one guess in seven is right; "large" asks for every running total in order, where luck is near 0; "inverse"
states the value and asks for the first term x, which is unique. The cells come from
docs/findings/near_impossible/profile.json: right answers out of 16 per problem id.
"""

import dataclasses
import hashlib
import itertools
import json
import random
from pathlib import Path

from rlvr.core import specs
from rlvr.core.errors import DataError
from rlvr.core.records import Problem

arithmetic = specs.import_file("data", "arithmetic")
VERSION = 2
INLINE = True
PROFILE = Path(__file__).parents[3] / "docs" / "findings" / "near_impossible" / "profile.json"
MODULUS = 7
TERMS = {0: 2, 1: 3, 2: 5}
CELLS = {"H0": (0, 0), "Hlow": (1, 2), "M": (3, 12), "E": (13, 16)}  # right answers of 16, both included
MIXED = 80  # held-out problems of all levels alike; the easy ones behind them are measured too
_SPLITS = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 12)}  # twelfths of all expressions
steps_ok = arithmetic.steps_ok


def load(split: str, size: int | None, seed: int, space: str = "both", cell: str = "") -> list[Problem]:
    """Return `size` problems (default 1,000) of a space: small, large, inverse, or both (a fifth of it inverse).

    `cell` keeps the training problems of H0, Hlow, M or E, as often as needed to fill `size`; "mixture" takes them in
    turn from H0 and Hlow together and from M and E together; "rewritten" is that with the near-impossible ones turned
    round. The other splits are never filtered.
    """
    size = 1000 if size is None else size
    if not cell or split != "train":
        order = ("small", "large", "small", "large", "inverse") if space == "both" else (space,)
        return [_problem(split, seed, i, order[i % len(order)], i // len(order) % 4) for i in range(size)]
    found = json.loads(PROFILE.read_text(encoding="utf-8"))[space]["train"]
    pool = load("train", len(found), seed, space)

    def among(*cells: str) -> list[int]:
        picked = [i for i, p in enumerate(pool) if any(CELLS[c][0] <= found[p.id] <= CELLS[c][1] for c in cells)]
        if not picked:
            raise DataError(f"No problem of the {space} space lies in {cells}.")
        return picked

    if cell in CELLS:
        return [_again(pool[i], n) for n, i in _cycle(among(cell), size)]
    turned = load("train", len(found), seed, "inverse") if cell == "rewritten" else pool
    pairs = zip(_cycle(among("H0", "Hlow"), size // 2), _cycle(among("M", "E"), size // 2), strict=True)
    return [_again(p, n) for (n, i), (m, j) in pairs for p, n in ((turned[i], n), (pool[j], m))]


def measured(space: str) -> list[int]:
    """Return the indices of the measured held-out problems: MIXED of all levels, then the other ones in cell E."""
    counts = list(json.loads(PROFILE.read_text(encoding="utf-8"))[space]["test"].values())
    return [*range(MIXED), *(i for i in range(MIXED, len(counts)) if counts[i] >= CELLS["E"][0])]


def verify(answer: str, gold: str) -> bool:
    """Whether the answer is the remainder, x, or the running totals in order."""
    return " ".join(answer.split()) == gold


def solution(problem: Problem) -> str:
    """Return the worked steps as `a op b = c` equations."""
    words, space = problem.meta["expression"].split(), problem.meta["space"]
    steps, value = _work(words)
    if space == "small" and value >= MODULUS:
        steps.append(f"{value}-{value // MODULUS * MODULUS}={value % MODULUS}")
    if space != "inverse":
        return ", ".join(steps)
    steps = []
    if "*" in words:
        return f"{words[2]}*{words[0]}={value}"
    for op, digit in zip(words[-2::-2], words[:0:-2], strict=True):
        result = value - int(digit) if op == "+" else value + int(digit)
        steps.append(f"{value}{'-' if op == '+' else '+'}{digit}={result}")
        value = result
    return ", ".join(steps)


def _work(words: list[str]) -> tuple[list[str], int]:
    value, steps = int(words[0]), []
    for op, digit in zip(words[1::2], words[2::2], strict=True):
        b = int(digit)
        result = value + b if op == "+" else value - b if op == "-" else value * b
        steps.append(f"{value}{op}{digit}={result}")
        value = result
    return steps, value


def _cycle(picked: list[int], size: int) -> list[tuple[int, int]]:
    """Return `size` pairs (round, index), going through `picked` as often as needed."""
    return [(n // len(picked), i) for n, i in zip(range(size), itertools.cycle(picked), strict=False)]


def _again(problem: Problem, n: int) -> Problem:
    return problem if n == 0 else dataclasses.replace(problem, id=f"{problem.id}#{n}")


def _problem(split: str, seed: int, i: int, space: str, level: int) -> Problem:
    for attempt in itertools.count():
        draw = random.Random(f"cells/{VERSION}/{seed}/{split}/{i}/{attempt}")
        if level in TERMS:
            terms = [str(draw.randint(1, 14)), *(str(draw.randint(1, 5)) for _ in range(TERMS[level] - 1))]
            words = [terms[0], *(word for term in terms[1:] for word in (draw.choice("+-"), term))]
        else:
            words = [str(draw.randint(12, 99)), "*", str(draw.randint(3, 9))]
        mine = hashlib.sha256(" ".join(words).encode()).digest()[0] % 12 in _SPLITS[split]
        totals = [int(step.split("=")[1]) for step in _work(words)[0]]
        if mine and (level == 3 or all(0 <= total <= 19 for total in totals)):
            break
    value, expression = totals[-1], "".join(words)
    question, answer = {
        "small": (f"{expression}%{MODULUS}?", str(value % MODULUS)),
        "large": (f"{expression}?", " ".join(map(str, totals))),
        "inverse": (f"x{expression.removeprefix(words[0])}={value}?", words[0]),
    }[space]
    return Problem(
        id=f"{space}-s{seed}/{split}/L{level}/{i}",
        prompt=[{"role": "user", "content": question}],
        answer=answer,
        task=f"{space}/L{level}",
        meta={"expression": " ".join(words), "space": space},
    )
