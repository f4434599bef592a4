"""Read prices that differ between problems from a JSON file."""

import json
from pathlib import Path

from rlvr.core.errors import DataError


def read_prices(path: Path) -> dict[str, dict[str, float]]:
    """Read `{"problem id or task": {"wrong": -20}}`; DataError when the file is missing or holds anything else."""
    try:
        prices = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read the prices {str(path)!r}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{str(path)!r} is not JSON: {error}.") from error
    good = isinstance(prices, dict) and all(
        isinstance(changes, dict) and all(type(price) in (int, float) for price in changes.values())
        for changes in prices.values()
    )
    if not good:
        raise DataError(
            f"{str(path)!r} must map problem ids or tasks to prices, as in "
            '{"arithmetic/L2": {"wrong": -20}}; found something else.'
        )
    return prices
