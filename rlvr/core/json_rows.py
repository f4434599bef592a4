"""Read and write one JSON object per line, the form of every table of rows that a user gives."""

import json
import math
from typing import Any

from rlvr.core.errors import DataError


def json_object(line: bytes, where: str) -> dict[str, Any]:
    """Return the object that a line holds; DataError, beginning with `where`, when it holds none.

    >>> json_object(b'{"prompt": "2 + 2?"}', "mine.jsonl, line 1")
    {'prompt': '2 + 2?'}
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON: {error.msg} at character {error.colno}.") from None
    except (ValueError, RecursionError) as error:  # bad UTF-8, a number of thousands of digits, too deep
        raise DataError(f"{where} is not JSON: {error}.") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} holds a {type(row).__name__}, not an object.")
    return row


def json_text(value: Any, **kwargs: Any) -> str:
    """Return a value as JSON, with null for NaN and the infinities, which JSON does not have.

    >>> json_text({"logp": float("nan"), "tokens": [1, float("inf")]})
    '{"logp": null, "tokens": [1, null]}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, **kwargs)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, allow_nan=False, **kwargs)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
