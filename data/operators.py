"""Chains over a table of operators that has to be remembered: a testbed on which a small model learns within minutes.

    prompt  3caf      start with the digit 3, then apply operator c, then a, then f
    worked  3c7 7a2 2f9

An operator is a letter with ten results, one for each digit: 26 x 10 facts, drawn once from the seed `table`. Nothing
but memory tells that c makes 7 of 3, so a problem is as hard as its operators are badly known, and how well the base
knows each is a dial (`knows`): the warm-up's teacher is right about operator l with the probability q_l, from the first
number for a to the second for z in equal steps; else it writes another digit and goes on from there. A model that has
learned these frequencies solves a chain with about the product of its q.

`answer="all"` wants the working, all totals: no guess is right, and no other text (`UNIQUE`), so a model's chance is
the probability of one text (`rlvr evaluate --exact`). `"last"` wants the last total (one guess in ten is right),
`"mod"` its remainder modulo 2 (one in two): their working goes into <think>.

`unlearnable` is the share of the problems that end in a capital, `3caF`: what F makes of its digit is drawn anew for
every problem, so nothing learned on others helps, and the prompt shows it. The teacher guesses there.

A problem belongs to one split for ever (by a hash of its text): what is tested was never trained, at any seed or size.
"""

import functools
import hashlib
import random
import string

from rlvr import DataError, Problem

VERSION = 1
INLINE = True  # verify is pure and linear
UNIQUE = True  # verify takes one text, up to the white space around it that the parser strips
KNOWS = {"hard": (0.97, 0.05), "easy": (0.99, 0.3)}
ANSWERS = ("all", "last", "mod")
_SPLITS = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 12)}  # twelfths of all problems


def load(
    split: str,
    size: int | None,
    seed: int,
    lengths: tuple[int, ...] = (2, 3, 4),
    answer: str = "all",
    knows: str | tuple[float, float] = "hard",
    unlearnable: float = 0.0,
    table: int = 0,
) -> list[Problem]:
    """Return `size` problems (default 1,000), cycling through `lengths`; item i depends only on (seed, split, i).

    `knows` is "hard" (0.97 to 0.05), "easy" (0.99 to 0.3) or the teacher's probabilities for a and z.

    >>> [problem] = load("test", 1, 0, lengths=(3,))
    >>> problem.prompt[0]["content"], problem.answer
    ('4fqj', '4f5 5q9 9j4')
    """
    if split not in _SPLITS:
        raise DataError(f"No split {split!r}. Known: {', '.join(_SPLITS)}.")
    lengths = (lengths,) if isinstance(lengths, int) else tuple(lengths)
    if not lengths or any(not isinstance(n, int) or not 1 <= n <= 9 for n in lengths):
        raise DataError(f"lengths must be numbers of operators from 1 to 9, found {lengths}.")
    if answer not in ANSWERS:
        raise DataError(f"answer must be one of {', '.join(map(repr, ANSWERS))}, found {answer!r}.")
    dial = KNOWS.get(knows) if isinstance(knows, str) else tuple(knows)
    if dial is None or len(dial) != 2 or not all(0 <= q <= 1 for q in dial):
        raise DataError(f"knows must be 'hard', 'easy' or two probabilities (for a and for z), found {knows!r}.")
    if not 0 <= unlearnable <= 1:
        raise DataError(f"unlearnable is a share of the problems, from 0 to 1, found {unlearnable}.")
    count = 1000 if size is None else size
    texts = [_text(split, seed, i, lengths[i % len(lengths)], unlearnable) for i in range(count)]
    name = f"operators-{answer}-v{VERSION}-t{table}-s{seed}/{split}"
    return [_problem(f"{name}/{i}/{text}", text, answer, dial, table) for i, text in enumerate(texts)]


def verify(answer: str, gold: str) -> bool:
    """Return whether `answer` is the gold text to the letter, white space around it aside.

    >>> verify(" 3c7 7a2 ", "3c7 7a2"), verify("3c7, 7a2", "3c7 7a2"), verify("7a2", "3c7 7a2")
    (True, False, False)
    """
    return answer.strip() == gold


def solution(problem: Problem) -> str:
    """Return the worked chain; nothing where the chain itself is the answer.

    >>> solution(load("test", 1, 0, lengths=(3,), answer="last")[0])
    '4f5 5q9 9j4'
    """
    return "" if problem.meta["answer"] == "all" else _written(problem.meta["text"], problem.meta["totals"])


def teacher(problem: Problem, draw: random.Random) -> tuple[str, str]:
    """Return the (working, answer) that a warm-up teaches, from a teacher who knows each operator with its own chance.

    >>> [problem] = load("test", 1, 0, lengths=(3,), knows=(1, 1))
    >>> teacher(problem, random.Random(0))
    ('', '4f5 5q9 9j4')
    """
    text, dial, table = (problem.meta[name] for name in ("text", "knows", "table"))
    totals, total = [], int(text[0])
    for letter in text[1:]:
        right = _apply(total, letter, text, table)
        known = draw.random() < (0.1 if letter.isupper() else chance(letter, dial))
        total = right if known else draw.choice([digit for digit in range(10) if digit != right])
        totals.append(total)
    if problem.meta["answer"] == "all":
        return "", _written(text, totals)
    return _written(text, totals), _final(totals, problem.meta["answer"])


def chance(letter: str, dial: tuple[float, float]) -> float:
    """Return the teacher's probability of knowing an operator: dial[0] for a, dial[1] for z, in equal steps between.

    >>> chance("a", (0.97, 0.05)), round(chance("f", (0.97, 0.05)), 3), chance("z", (0.97, 0.05))
    (0.97, 0.786, 0.05)
    """
    share = string.ascii_lowercase.index(letter) / 25
    return dial[0] * (1 - share) + dial[1] * share


@functools.cache
def results(table: int) -> dict[str, tuple[int, ...]]:
    """Return the table: for each letter the ten results, of the digits 0 to 9; any digit may come twice."""
    draw = random.Random(f"operators/{VERSION}/table/{table}")
    return {letter: tuple(draw.randrange(10) for _ in range(10)) for letter in string.ascii_lowercase}


def _text(split: str, seed: int, i: int, length: int, unlearnable: float) -> str:
    """Draw until a text belongs to the split: one to twelve draws of twelve do."""
    draw = random.Random(f"operators/{VERSION}/{seed}/{split}/{i}")
    while True:
        text = str(draw.randrange(10)) + "".join(draw.choices(string.ascii_lowercase, k=length))
        if draw.random() < unlearnable:
            text = text[:-1] + text[-1].upper()
        if _hash(text) % 12 in _SPLITS[split]:
            return text


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"operators/{text}".encode()).digest()[:8], "big")


def _apply(total: int, letter: str, text: str, table: int) -> int:
    """Return what an operator makes of a digit; a capital makes of it what the whole problem's hash says."""
    return _hash(f"{table}/{text}") % 10 if letter.isupper() else results(table)[letter][total]


def _problem(id: str, text: str, answer: str, dial: tuple[float, float], table: int) -> Problem:
    totals = [int(text[0])]
    for letter in text[1:]:
        totals.append(_apply(totals[-1], letter, text, table))
    return Problem(
        id=id,
        prompt=[{"role": "user", "content": text}],
        answer=_written(text, totals[1:]) if answer == "all" else _final(totals, answer),
        task="operators/unlearnable" if text[-1].isupper() else f"operators/{len(text) - 1}",
        meta={"text": text, "totals": totals[1:], "answer": answer, "knows": dial, "table": table},
    )


def _written(text: str, totals: list[int]) -> str:
    """Return a chain as it is written, one step for each total: the digit before, the letter, the total."""
    before = [int(text[0]), *totals[:-1]]
    return " ".join(f"{a}{letter}{b}" for a, letter, b in zip(before, text[1:], totals, strict=True))


def _final(totals: list[int], answer: str) -> str:
    return str(totals[-1] if answer == "last" else totals[-1] % 2)
