"""Countdown: reach a target from given numbers, each used at most once, with + - * /; many right answers.

The verifier reads the expression with its own small parser in exact fractions, in one pass and without recursion;
text is never evaluated.
"""

import hashlib
import random
import re
from fractions import Fraction
from typing import Any

from rlvr import DataError, Problem

VERSION = 1
COMPLETION_TOKENS = 96  # the length limit of an evaluation that names none
INLINE = True
_SPLITS = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 12)}
_TOKEN = re.compile(r"\s*(?:([0-9]{1,6})|([-+*/()×÷−]))")
_SAME = {"×": "*", "÷": "/", "−": "-"}
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
_LONGEST = 200
_ATTEMPTS = 10_000  # about one draw in 30 to one in 5 serves, so this many failures mean that there is none


def load(split: str, size: int | None, seed: int, n_numbers: int = 3, max_number: int = 20) -> list[Problem]:
    """Return `size` solvable problems (default 1,000); item i depends only on (seed, split, i).

    A set of numbers belongs to one split for ever, so no two splits share a problem. Raises DataError where small
    numbers leave a split without any.
    """
    if split not in _SPLITS:
        raise DataError(f"No split {split!r}. Known: {', '.join(_SPLITS)}.")
    if not 2 <= n_numbers <= 6 or not 4 <= max_number <= 999:
        raise DataError(f"n_numbers must be 2 to 6 and max_number 4 to 999, found {n_numbers} and {max_number}.")
    return [_problem(split, i, seed, n_numbers, max_number) for i in range(1000 if size is None else size)]


def verify(answer: str, gold: dict[str, Any]) -> bool:
    """Return whether `answer` is an expression over gold["numbers"], each at most once, worth gold["target"].

    One "= target" may follow. Refused: other numbers, a number used twice, signs, powers, decimals, words.

    >>> gold = {"target": 16, "numbers": [2, 3, 5]}
    >>> verify("(3 + 5) * 2 = 16", gold), verify("16", gold)
    (True, False)
    """
    if len(answer) > _LONGEST:
        return False
    left, equals, right = answer.partition("=")
    if equals and right.strip() != str(gold["target"]):
        return False
    tokens = _tokens(left)
    if tokens is None:
        return False
    left_over = list(gold["numbers"])
    for token in tokens:
        if isinstance(token, int):
            if token not in left_over:
                return False
            left_over.remove(token)
    return _value(tokens) == gold["target"]


def gold_answer(problem: Problem) -> str:
    """Return one right expression."""
    return str(problem.meta["expression"])


def solution(problem: Problem) -> str:
    """Return the worked steps, e.g. `3+5=8, 8*2=16`."""
    return str(problem.meta["work"])


def _problem(split: str, i: int, seed: int, n_numbers: int, max_number: int) -> Problem:
    for attempt in range(_ATTEMPTS):
        draw = random.Random(f"countdown/{VERSION}/{seed}/{split}/{n_numbers}/{max_number}/{i}/{attempt}")
        numbers = [draw.randint(1, max_number) for _ in range(n_numbers)]
        key = ",".join(map(str, sorted(numbers)))
        if hashlib.sha256(key.encode()).digest()[0] % 12 not in _SPLITS[split]:
            continue
        order = draw.sample(numbers, n_numbers)
        value, expression, work = order[0], str(order[0]), []
        for number in order[1:]:
            op = draw.choice([o for o in "+-*/" if o != "/" or value % number == 0])
            result = {"+": value + number, "-": value - number, "*": value * number}.get(op, value // number)
            work.append(f"{value}{op}{number}={result}")
            expression = f"({expression}) {op} {number}" if len(work) > 1 else f"{expression} {op} {number}"
            value = result
        if 1 <= value <= 999 and value not in numbers:
            break
    else:
        raise DataError(
            f"Found no problem of {n_numbers} numbers up to {max_number} that belongs to the {split} split. "
            "Raise max_number or n_numbers."
        )
    listed = ", ".join(map(str, numbers))
    return Problem(
        id=f"countdown-v{VERSION}-s{seed}/{split}/{n_numbers}x{max_number}/{i}",
        prompt=[{"role": "user", "content": f"Using {listed}, each at most once, with + - * / make {value}."}],
        answer={"target": value, "numbers": numbers},
        task=f"countdown/{n_numbers}",
        meta={"expression": expression, "work": ", ".join(work)},
    )


def _tokens(text: str) -> list[int | str] | None:
    """Split an expression into numbers and symbols; None if anything else is in it."""
    tokens: list[int | str] = []
    at, text = 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            return None
        tokens.append(int(match[1]) if match[1] else _SAME.get(match[2], match[2]))
        at = match.end()
    return tokens


def _value(tokens: list[int | str]) -> Fraction | None:
    """Work an infix expression out with two stacks (shunting-yard); None if it is malformed or divides by 0."""
    values: list[Fraction] = []
    waiting: list[str] = []

    def reduce() -> bool:
        op = waiting.pop()
        if op == "(" or len(values) < 2:
            return False
        b, a = values.pop(), values.pop()
        if op == "/" and b == 0:
            return False
        values.append(a + b if op == "+" else a - b if op == "-" else a * b if op == "*" else a / b)
        return True

    operand_due = True  # alternation of operands and operators is what makes infix well formed
    for token in tokens:
        if isinstance(token, int) or token == "(":
            if not operand_due:
                return None
            if isinstance(token, int):
                values.append(Fraction(token))
                operand_due = False
            else:
                waiting.append(token)
        elif operand_due:
            return None
        elif token == ")":
            while waiting and waiting[-1] != "(":
                if not reduce():
                    return None
            if not waiting:
                return None
            waiting.pop()
        else:
            while waiting and waiting[-1] != "(" and _PRECEDENCE[waiting[-1]] >= _PRECEDENCE[token]:
                if not reduce():
                    return None
            waiting.append(token)
            operand_due = True
    while waiting:
        if not reduce():
            return None
    return values[0] if len(values) == 1 and not operand_due else None
