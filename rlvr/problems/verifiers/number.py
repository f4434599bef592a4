"""Compare numbers: one number and nothing else, or the last one of a text."""

import re
from decimal import Decimal

_NUMBER = re.compile(r"([+-]?)\$?((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_ANY_NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")  # what lm-evaluation-harness calls flexible-extract


def read_decimal(text: str) -> Decimal | None:
    """Return the exact value of a text that is a number and nothing else, else None.

    >>> read_decimal("$1,200.50"), read_decimal("12 apples"), read_decimal("1,0")
    (Decimal('1200.50'), None, None)
    """
    match = _NUMBER.fullmatch(text.strip())
    return Decimal(match[1] + match[2].replace(",", "") + (match[3] or "")) if match else None


def same_decimal(answer: str, gold: str) -> bool:
    """Return whether `answer` is the gold number and nothing else, exactly: as floats 2**53 + 1 would be 2**53.

    >>> same_decimal("1,000.0", "1000"), same_decimal("1000 km", "1000")
    (True, False)
    """
    value = read_decimal(answer)
    return value is not None and value == read_decimal(gold)


def same_last_number(answer: str, gold: str) -> bool:
    """Return whether the last number in `answer` is the gold one, as published GSM8K results are computed.

    Found and compared as lm-evaluation-harness does by "flexible-extract": without commas, $ and a trailing full stop,
    then as text, so 18.0 is not 18. For measuring only: it pays for a list of guesses that ends well.

    >>> same_last_number("It is **12** apples.", "12"), same_last_number("11 or 12", "12")
    (True, True)
    """
    numbers = _ANY_NUMBER.findall(answer)
    return bool(numbers) and _plain(numbers[-1]) == _plain(gold)


def _plain(number: str) -> str:
    return number.replace(",", "").replace("$", "").removesuffix(".")
