"""One JSON object per line: what every table of rows that a user gives is read with."""

import json
from typing import Any

from rlvr.errors import DataError


def json_object(line: bytes, where: str) -> dict[str, Any]:
    """Return the object that a line holds; DataError, beginning with `where`, when it holds none.

    >>> json_object(b'{"prompt": "2 + 2?"}', "mine.jsonl, line 1")
    {'prompt': '2 + 2?'}
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # no JSON, bad UTF-8, a number of thousands of digits, too deep
        raise DataError(f"{where} is not JSON: {error}.") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} holds a {type(row).__name__}, not an object.")
    return row
