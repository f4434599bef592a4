"""Integer arithmetic on a ladder of levels, from sure to hopeless for a small model.

    level  problem                                   level  problem
    0      one digit + one digit                     5      two digits x one digit, sometimes + two digits
    1      two digits, + or -                        6      two digits x two digits
    2      three operands of one or two digits       7      two-digit operands, x then + or -
    3      three or four two-digit operands          8      three digits x three digits
    4      five two-digit operands                   9      five digits x five digits (near-impossible)

`mode="open"` asks for the value. Where lucky guesses must be possible: `mode="mod"` asks for the remainder modulo
`modulus`, and `mode="choice"` offers `choices` answers A, B, C, ...

An expression belongs to one split for ever (by a hash of its terms in sorted order, so "3 + 4" and "4 + 3" go
together), and train, validation and test share no problem at any level, seed or size. Level 0 has only 45 such
problems: items repeat there once a split is used up.
"""

import hashlib
import random
import re
import string

from rlvr import DataError, Problem

VERSION = 2  # 2: twins such as 3 + 4 and 4 + 3 share a split; "+-5" is no integer
COMPLETION_TOKENS = 96  # the length limit of an evaluation that names none
INLINE = True  # verify is pure and linear: no process pool needed
LEVELS = tuple(range(10))
_SPLITS = {
    "train": range(0, 8),
    "validation": range(8, 9),
    "test": range(9, 12),
}  # twelfths of all expressions
# `a op b = c` where both sides stand alone: not a part of a longer number, sum or chain ("1+2+3=6", "2*3=4+2").
_STEP = re.compile(
    r"(?<![\w.,)^+*/×÷−-])(?<![+*/×÷−-] )((?:(?<![0-9)] )-)?[0-9]{1,12}) ?([+*-]) ?([0-9]{1,12}) ?= ?"
    r"(-?[0-9]{1,24})(?![\w^]|[.,][0-9]| ?[+*/×÷−-] ?[0-9(])"
)


def load(
    split: str,
    size: int | None,
    seed: int,
    levels: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
    mode: str = "open",
    modulus: int = 7,
    choices: int = 4,
) -> list[Problem]:
    """Return `size` problems (default 1,000), cycling through `levels`; item i depends only on (seed, split, i)."""
    if split not in _SPLITS:
        raise DataError(f"No split {split!r}. Known: {', '.join(_SPLITS)}.")
    levels = (levels,) if isinstance(levels, int) else tuple(levels)
    if not levels or any(level not in LEVELS for level in levels):
        raise DataError(f"levels must be some of {LEVELS}, found {levels}.")
    if mode not in ("open", "mod", "choice"):
        raise DataError(f"mode must be 'open', 'mod' or 'choice', found {mode!r}.")
    if modulus < 2 or not 2 <= choices <= 8:
        raise DataError(f"modulus must be at least 2 and choices between 2 and 8, found {modulus} and {choices}.")
    return [
        _problem(split, i, seed, levels[i % len(levels)], mode, modulus, choices)
        for i in range(1000 if size is None else size)
    ]


def verify(answer: str, gold: str) -> bool:
    """Return whether `answer` states the integer (or letter) `gold`, and nothing else.

    Accepted around an integer: white space, a leading +, thousands separators in the right places, one trailing
    full stop. Refused: anything else, such as "= 46", "45 or 46", "46.0", digits of other scripts, or no answer.

    >>> verify(" 1,234. ", "1234"), verify("45 or 46", "46"), verify("b", "B")
    (True, False, True)
    """
    text = answer.strip() if len(answer) < 64 else ""
    text = text.removesuffix(".").rstrip()
    if len(gold) == 1 and gold.isalpha():
        return text.upper() == gold
    match = re.fullmatch(r"([+-]?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)", text)
    return bool(match) and int(match[1] + match[2].replace(",", "")) == int(gold)


def solution(problem: Problem) -> str:
    """Return the worked steps, left to right, as `a op b = c` equations without spaces.

    >>> solution(load("train", 1, 0, levels=(6,))[0]).count("=") >= 3
    True
    """
    steps, value = work(problem.meta["expression"])
    if problem.meta["mode"] == "mod":
        m = problem.meta["modulus"]
        steps += [f"{value}-{value // m * m}={value % m}"] if value // m > 0 else []
        steps += [f"{value}+{-(value // m) * m}={value % m}"] if value // m < 0 else []
    if problem.meta["mode"] == "choice":
        steps.append(f"{problem.answer} is {value}")
    return ", ".join(steps) or str(value)


def steps_ok(text: str) -> bool | None:
    """Return whether every `a op b = c` (op one of + - *) in a working is true; None if there is none.

    Only equations of that exact form, in ASCII digits, are judged; longer sums, decimals and chains are passed over.

    >>> steps_ok("12+34=46, 46-7=39"), steps_ok("12+34=47"), steps_ok("12+34-7=39")
    (True, False, None)
    """
    found = [_apply(int(a), op, int(b)) == int(c) for a, op, b, c in _STEP.findall(text)]
    return all(found) if found else None


def _problem(split: str, i: int, seed: int, level: int, mode: str, modulus: int, choices: int) -> Problem:
    attempt = 0
    while True:  # about one draw in twelve to eight in twelve belongs to the split, so this ends at once
        draw = random.Random(f"arithmetic/{VERSION}/{seed}/{split}/{level}/{i}/{attempt}")
        expression = _expression(level, draw)
        if hashlib.sha256(canonical(expression).encode()).digest()[0] % 12 in _SPLITS[split]:
            break
        attempt += 1
    value = work(expression)[1]
    question, answer = f"What is {expression}?", str(value)
    if mode == "mod":
        question, answer = (
            f"What is the remainder of {expression} divided by {modulus}?",
            str(value % modulus),
        )
    elif mode == "choice":
        options = _options(value, choices, draw)
        letters = string.ascii_uppercase
        answer = letters[options.index(value)]
        question += " " + " ".join(f"{letter}) {option}" for letter, option in zip(letters, options, strict=False))
    meta = {"expression": expression, "level": level, "mode": mode, "modulus": modulus}
    kind = "" if mode == "open" else f"-{mode}{modulus if mode == 'mod' else choices}"
    return Problem(
        id=f"arithmetic{kind}-v{VERSION}-s{seed}/{split}/L{level}/{i}",
        prompt=[{"role": "user", "content": question}],
        answer=answer,
        task=f"arithmetic{kind}/L{level}",
        meta=meta,
    )


def canonical(expression: str) -> str:
    """Return one text for all orders of the same signed terms and of the factors of a product.

    >>> canonical("4 + 3 - 2") == canonical("3 - 2 + 4"), canonical("12 * 3 + 5") == canonical("3 * 12 + 5")
    (True, True)
    """
    first, *rest = expression.split()
    terms, signs = [[first]], ["+"]
    for op, number in zip(rest[::2], rest[1::2], strict=True):
        if op == "*":
            terms[-1].append(number)
        else:
            terms.append([number])
            signs.append(op)
    return " ".join(sorted(sign + "*".join(sorted(term)) for sign, term in zip(signs, terms, strict=True)))


def _expression(level: int, draw: random.Random) -> str:
    def digits(n: int) -> int:
        return draw.randint(10 ** (n - 1), 10**n - 1)

    def sums(count: int, lengths: tuple[int, ...]) -> str:
        terms = [str(digits(draw.choice(lengths))) for _ in range(count)]
        return terms[0] + "".join(f" {draw.choice('+-')} {term}" for term in terms[1:])

    if level == 0:
        return f"{digits(1)} + {digits(1)}"
    if level == 5:
        tail = f" + {digits(2)}" if draw.random() < 0.5 else ""
        return f"{digits(2)} * {draw.randint(2, 9)}{tail}"
    if level == 7:
        return f"{digits(2)} * {digits(2)} {draw.choice('+-')} {digits(2)} {draw.choice('+-')} {digits(2)}"
    if level in (6, 8, 9):
        n = {6: 2, 8: 3, 9: 5}[level]
        return f"{digits(n)} * {digits(n)}"
    count = {1: 2, 2: 3, 3: draw.choice((3, 4)), 4: 5}[level]
    return sums(count, (1, 2) if level == 2 else (2,))


def work(expression: str) -> tuple[list[str], int]:
    """Work an expression out from left to right (products stand first, so that is also the usual order)."""
    first, *rest = expression.split()
    value, steps = int(first), []
    for op, term in zip(rest[::2], rest[1::2], strict=True):
        if op == "*" and len(term) > 1:  # long multiplication: partial products, then their running sum
            parts = [int(d) * 10**place for place, d in enumerate(reversed(term)) if d != "0"]
            products = [value * part for part in reversed(parts)]
            steps += [f"{value}*{part}={p}" for part, p in zip(reversed(parts), products, strict=True)]
            total = products[0]
            for p in products[1:]:
                steps.append(f"{total}+{p}={total + p}")
                total += p
            value = total
        else:
            result = _apply(value, op, int(term))
            steps.append(f"{value}{op}{term}={result}")
            value = result
    return steps, value


def _apply(a: int, op: str, b: int) -> int:
    return a + b if op == "+" else a - b if op == "-" else a * b


def _options(value: int, count: int, draw: random.Random) -> list[int]:
    """Return the right value among near misses, shuffled."""
    near = [value + d for d in (1, -1, 2, -2, 10, -10, 9, -9, 11, -11, 20, -20)]
    options = [value, *draw.sample(near, count - 1)]
    draw.shuffle(options)
    return options
