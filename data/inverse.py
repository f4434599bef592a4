"""Arithmetic turned round: the result is stated, one operand is asked for (backward rewrites, 2605.28388).

    What is 34 * 27 - 12?    ->    34 * x - 12 = 906. What is x?

Any level of `arithmetic`. The value is a multiple of x, by +1, -1 or the other factor and never by 0, plus what does
not depend on x: so x is unique, among all numbers. What a level becomes:

    0 to 4    the same additions, undone one by one; x has one or two digits whatever the number of operands
    5 to 9    a division for a multiplication: x has about half the digits of the product, and its first digit (often
              its last) follows from the product's; the working is longer by a subtraction per digit
    9         x is one of 90,000 numbers and not of 10 billion: luck stays near 0, and five trial products stay five.
              Near-impossible for a small model either way, but partial work now has a result to be checked against

Problem (seed, i) of a split is problem (seed, i) of the same split of `arithmetic` with one operand hidden, so an
expression belongs to one split in both sets together: no problem is asked forwards in train and backwards in test.
(Single steps of a working may stand anywhere, as within `arithmetic` itself.)
"""

import random

from rlvr import Problem, problem_set

arithmetic = problem_set("arithmetic")
VERSION = f"1/{arithmetic.VERSION}"  # its own, and that of the problems it turns round
COMPLETION_TOKENS = 96  # the length limit of an evaluation that names none
INLINE = True
verify, steps_ok = arithmetic.verify, arithmetic.steps_ok


def load(split: str, size: int | None, seed: int, levels: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> list[Problem]:
    """Return `size` problems (default 1,000), cycling through `levels`; item i depends only on (seed, split, i).

    >>> problem = load("train", 1, 0, levels=(6,))[0]
    >>> problem.prompt[0]["content"].split(" = ")[0].count("x")
    1
    """
    return [_turn_round(original) for original in arithmetic.load(split, size, seed, levels)]


def _turn_round(original: Problem) -> Problem:
    words = original.meta["expression"].split()
    operand = random.Random(f"inverse/{VERSION}/{original.id}").randrange(len(words[::2]))
    answer, words[2 * operand] = words[2 * operand], "x"
    level = original.meta["level"]
    return Problem(
        id=f"inverse-v{VERSION.split('/')[0]}/{original.id}",
        prompt=[{"role": "user", "content": f"{' '.join(words)} = {original.answer}. What is x?"}],
        answer=answer,
        task=f"inverse/L{level}",
        meta={
            "expression": original.meta["expression"],
            "level": level,
            "operand": operand,
            "value": int(original.answer),
        },
    )


def solution(problem: Problem) -> str:
    """Return the worked steps as `a op b = c` equations without spaces: the other terms undone, then a long division.

    >>> meta = {"expression": "34 * 27 - 12", "operand": 1, "value": 906}
    >>> solution(Problem("", [], "27", meta=meta))
    '906+12=918, 34*20=680, 918-680=238, 34*7=238, 238-238=0, 20+7=27'
    """
    words, hidden = problem.meta["expression"].split(), problem.meta["operand"]
    numbers, signs = words[::2], ["+", *words[1::2]]
    first = 2 if "*" in signs else 1  # numbers in the first term: a product, or one number
    steps: list[str] = []
    others: list[tuple[str, int]] = []  # every other term with its sign
    if hidden >= first:
        steps, value = arithmetic.work(" ".join(words[: 2 * first - 1]))
        others.append(("+", value))
    others += [(signs[i], int(numbers[i])) for i in range(first, len(numbers)) if i != hidden]
    if hidden >= first and signs[hidden] == "-":  # x is what the others come to, less the value
        result = others[0][1]
        for sign, number in [*others[1:], ("-", problem.meta["value"])]:
            result = _step(steps, result, sign, number)
    else:
        result = problem.meta["value"]
        for sign, number in others:
            result = _step(steps, result, "-" if sign == "+" else "+", number)
    if hidden < first == 2:
        _divide(steps, result, int(numbers[1 - hidden]))
    return ", ".join(steps)


def _step(steps: list[str], a: int, op: str, b: int) -> int:
    """Add one equation and return its result; a negative b is written by the other sign."""
    if b < 0:
        op, b = "-" if op == "+" else "+", -b
    result = a + b if op == "+" else a - b
    steps.append(f"{a}{op}{b}={result}")
    return result


def _divide(steps: list[str], product: int, factor: int) -> None:
    """Add a long division: for each digit of the quotient the partial product and what it leaves, then their sum."""
    digits = str(product // factor)
    parts = [int(d) * 10**place for place, d in zip(reversed(range(len(digits))), digits, strict=True) if d != "0"]
    for part in parts:
        steps.append(f"{factor}*{part}={factor * part}")
        product = _step(steps, product, "-", factor * part)
    total = parts[0]
    for part in parts[1:]:
        total = _step(steps, total, "+", part)
