"""Read the log of shown candidates (docs/rank.md) row by row; a bad row is named."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rlvr.core.errors import DataError
from rlvr.core.files import replacing
from rlvr.core.json_rows import json_object

Row = Mapping[str, Any]
LABELS = {"chosen": "chosen", "correct": "correct", "format": "format_ok", "cost": "tokens"}  # objective -> column
BIAS = ("position", "interface", "sampler")
PREFIX = "x/"


@dataclass(frozen=True)
class Log:
    """Hold shown candidates as arrays, one row each: what `Ranker.fit(log.X, log.y, log.bias)` takes.

    Attributes:
        lists: which list a candidate was shown in, (N,).
        features: names of the columns of X, all beginning with "x/".
        X: (N, D), NaN where missing.
        y: objective -> labels (N,), NaN where unlabelled.
        bias: position, and interface and sampler where the log has them; values (N,), None where missing.
    """

    lists: NDArray[np.object_]
    features: tuple[str, ...]
    X: NDArray[np.float64]
    y: Mapping[str, NDArray[np.float64]]
    bias: Mapping[str, NDArray[np.object_]]


def read_log(source: str | Path | Sequence[Row]) -> Log:
    """Read a log in Parquet or JSONL, or rows in memory; DataError names the row, the column and what was found.

    Columns: list (text or whole number), position (whole number from 1), chosen (true or false), at least one feature
    x/NAME (number, or null: missing); optional: correct, format_ok (true, false or null), tokens (number or null),
    interface, sampler (text or null). Others are not read. Row 1 is the first; blank
    lines of a JSONL file do not count.
    """
    path: str | Path = source if isinstance(source, str | Path) else "The log"
    rows: Sequence[Row] = read_rows(source) if isinstance(source, str | Path) else source
    if not rows:
        raise DataError(f"{path} holds no rows.")
    features = tuple(sorted({name for row in rows for name in row if name.startswith(PREFIX)}))
    _need(path, rows, ["list", "position", "chosen"])
    if not features:
        raise DataError(f"{path} has no feature: name at least one column {PREFIX}NAME; it has {_names(rows[0])}.")
    check = _Checker(path)
    seen: dict[tuple, int] = {}
    for number, row in enumerate(rows, 1):
        place = check.list_name(number, row), check.position(number, row)
        if place in seen:
            raise DataError(
                f"{path}, row {number}, column 'position': list {place[0]!r} has position {place[1]} already, "
                f"in row {seen[place]}. One row for each candidate shown."
            )
        seen[place] = number
    labels = {
        objective: np.array([check.label(i, row, column) for i, row in enumerate(rows, 1)])
        for objective, column in LABELS.items()
    }
    bias = {
        name: np.array([check.text(i, row, name) if name != "position" else row[name] for i, row in enumerate(rows, 1)],
                       dtype=object)
        for name in BIAS
    }  # fmt: skip
    return Log(
        lists=np.array([row["list"] for row in rows], dtype=object),
        features=features,
        X=feature_matrix(path, rows, features),
        y={name: values for name, values in labels.items() if not np.isnan(values).all()},
        bias={name: values for name, values in bias.items() if any(v is not None for v in values)},
    )


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Read a table of at least one row from Parquet or JSONL, by its ending."""
    file = Path(path)
    try:
        if file.suffix == ".parquet":
            rows = pq.read_table(file).to_pylist()
        elif file.suffix == ".jsonl":
            lines = [line for line in file.read_bytes().splitlines() if line.strip()]
            rows = [json_object(line, f"{path}, row {i}") for i, line in enumerate(lines, 1)]
        else:
            raise DataError(f"{path} must end in .parquet or .jsonl.")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is no Parquet file: {error}") from error
    if not rows:
        raise DataError(f"{path} holds no rows.")
    return rows


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as Parquet or JSONL, by the ending, atomically."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise DataError(f"{path} must end in .parquet or .jsonl.")
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            names = list(dict.fromkeys(name for row in rows for name in row))
            pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), temporary)
        else:
            text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
            temporary.write_text(text, encoding="utf-8")


def feature_matrix(path: str | Path, rows: Sequence[Row], features: Sequence[str]) -> NDArray[np.float64]:
    """Return the features (N, D) of rows, NaN for null; DataError for what is no number or a column nobody has."""
    for name in features:
        if not any(name in row for row in rows):
            raise DataError(f"{path} has no column {name!r}, which the log has; it has {_names(rows[0])}.")
    check = _Checker(path)
    return np.array([[check.number(i, row, name) for name in features] for i, row in enumerate(rows, 1)])


def list_names(path: str | Path, rows: Sequence[Row]) -> NDArray[np.object_]:
    """Return the list of each row, (N,)."""
    _need(path, rows, ["list"])
    check = _Checker(path)
    return np.array([check.list_name(i, row) for i, row in enumerate(rows, 1)], dtype=object)


class _Checker:
    """Read one cell at a time and name the place of a bad one."""

    def __init__(self, path: str | Path):
        self.path = path

    def bad(self, number: int, column: str, expected: str, value: Any) -> DataError:
        return DataError(f"{self.path}, row {number}, column {column!r}: expected {expected}, found {value!r:.80}.")

    def list_name(self, number: int, row: Row) -> str | int:
        value = row.get("list")
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self.bad(number, "list", "a text or a whole number", value)
        return value

    def position(self, number: int, row: Row) -> int:
        value = row.get("position")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.bad(number, "position", "a whole number from 1", value)
        return value

    def label(self, number: int, row: Row, column: str) -> float:
        value = row.get(column)
        if column == "tokens":
            tokens = self.number(number, row, column)
            if tokens < 0:
                raise self.bad(number, column, "a number from 0", value)
            return tokens
        if value is None and column != "chosen":
            return math.nan
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise self.bad(number, column, "true or false", value)
        return float(value)

    def number(self, number: int, row: Row, column: str) -> float:
        value = row.get(column)
        if value is None:
            return math.nan
        if not isinstance(value, bool | int | float) or math.isinf(value):
            raise self.bad(number, column, "a finite number", value)
        return float(value)

    def text(self, number: int, row: Row, column: str) -> str | None:
        value = row.get(column)
        if value is not None and not isinstance(value, str):
            raise self.bad(number, column, "a text", value)
        return value


def _need(path: str | Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    for column in columns:
        if not any(column in row for row in rows):
            raise DataError(f"{path} has no column {column!r}; it has {_names(rows[0])}.")


def _names(row: Row) -> str:
    return ", ".join(map(repr, row)) or "none"
