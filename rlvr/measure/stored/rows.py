"""Read completions from a file of rows, JSONL or Parquet, with a column map; a row that cannot be used is named."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.core.json_rows import json_object
from rlvr.measure.stored.completion import StoredCompletion

NEEDED = ("completion",)
OPTIONAL = ("id", "prompt", "gold", "task", "answer", "confidence", "logp", "tokens", "truncated", "correct")
FACTS = ("options", "aliases", "tests")  # what a verifier may need beside the gold answer
FIELDS = (*NEEDED, *OPTIONAL, *FACTS)
EACH = ("answer", "confidence", "logp", "tokens", "truncated", "correct")  # one for each completion of a row
Row = Mapping[str, Any]


def column_map(pairs: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return field -> column from `completion=output` pairs or a mapping; SpecError for a field that nobody reads.

    >>> column_map(["completion=output", "gold=final"])
    {'completion': 'output', 'gold': 'final'}
    """
    if not isinstance(pairs, Mapping):
        if odd := [pair for pair in pairs if "=" not in pair]:
            raise SpecError(f"Columns are named FIELD=COLUMN, e.g. completion=output; found {odd[0]!r}.")
        pairs = dict(pair.split("=", 1) for pair in pairs)
    for name in pairs:
        if name not in FIELDS:
            raise SpecError(did_you_mean("field", name, FIELDS))
    return dict(pairs)


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the place ("file, line 3") and the content of each row of a JSONL or Parquet file."""
    try:
        if path.suffix == ".parquet":
            for i, row in enumerate(pq.read_table(path).to_pylist(), 1):
                yield f"{path}, row {i}", row
            return
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}, line {number}", json_object(line, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"Cannot read the completions {str(path)!r}: {error.strerror or error}.") from error
    except pa.ArrowException as error:
        raise DataError(f"{str(path)!r} is not a Parquet file: {error}.") from error


def stored_completions(
    source: Path | Iterable[Row], columns: Sequence[str] | Mapping[str, str] = ()
) -> list[StoredCompletion]:
    """Return the completions of a file (.jsonl, .parquet) or of rows in memory.

    Columns are called as `FIELDS` unless `columns` says otherwise. `completion` must be there, and `id` or `prompt`.
    A completion is a text, chat messages (the last one counts), or a list of texts: several of one problem, whose other
    values (`EACH`) are lists as long. `truncated` may be true or false, or the finish reason of an API.

    Raises DataError that names the row, the column and what was found.
    """
    mapped = column_map(columns)
    named = read_rows(source) if isinstance(source, Path) else ((f"row {i}", row) for i, row in enumerate(source, 1))
    found = [completion for where, row in named for completion in _completions(where, row, mapped)]
    if not found:
        raise DataError(f"{source if isinstance(source, Path) else 'The list'} holds no completions.")
    return found


def _completions(where: str, row: Row, mapped: Mapping[str, str]) -> list[StoredCompletion]:
    columns = {field: mapped.get(field, field) for field in FIELDS}
    for field, column in columns.items():
        if column not in row and (field in mapped or field in NEEDED):
            hint = f" Say which it is: {field}=COLUMN." if field not in mapped else ""
            raise DataError(f"{where} has no column {column!r}; it has {', '.join(map(repr, row)) or 'none'}.{hint}")
    present = {field: row[column] for field, column in columns.items() if column in row}
    if present.get("id") is None and present.get("prompt") is None:
        raise DataError(f"{where} has neither an id nor a prompt, so nobody knows which problem it answers.")
    cells = _Cells(where, columns)
    texts = cells.read("completion", present["completion"], _texts, "a text, or a list of them")
    several = isinstance(present["completion"], list) and not _is_chat(present["completion"])
    shared = {
        "where": where,
        "id": cells.read("id", present.get("id"), _name, "a text or a whole number"),
        "messages": cells.read("prompt", present.get("prompt"), _messages, "a text or chat messages") or [],
        "gold": cells.read("gold", present.get("gold"), _gold, "a text or a finite number"),
        "task": cells.read("task", present.get("task"), _name, "a text") or "",
        "facts": {field: present[field] for field in FACTS if present.get(field) is not None},
        "given": frozenset(field for field in EACH if field in present),
    }
    made = []
    for i, text in enumerate(texts):
        each = {}
        for field in shared["given"]:
            value = present[field]
            if several and (not isinstance(value, list) or len(value) != len(texts)):
                raise DataError(
                    f"{where}, column {columns[field]!r}: expected a list of {len(texts)}, one for each completion, "
                    f"found {value!r:.80}."
                )
            each[field] = cells.read(field, value[i] if several else value, *_EACH[field])
        made.append(StoredCompletion(text=text, **each, **shared))
    return made


class _Cells:
    """Read the cells of one row, and name the row and the column of one that cannot be read."""

    def __init__(self, where: str, columns: Mapping[str, str]):
        self.where, self.columns = where, columns

    def read(self, field: str, value: Any, convert: Callable[[Any], Any], expected: str) -> Any:
        """Return the converted value, None for None; DataError where `convert` refuses it."""
        if value is None and field != "completion":
            return None
        try:
            return convert(value)
        except (ValueError, TypeError):
            hint = " An empty text is a completion, and wrong; null is none." if value is None else ""
            raise DataError(
                f"{self.where}, column {self.columns[field]!r}: expected {expected}, found {value!r:.80}.{hint}"
            ) from None


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "content" in m for m in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    value.encode()  # half a character cannot be written to any file
    return value


def _texts(value: Any) -> list[str]:
    if _is_chat(value):
        return [_text(value[-1]["content"])]
    if isinstance(value, list) and value:
        return [_text(one[-1]["content"] if _is_chat(one) else one) for one in value]
    return [_text(value)]


def _messages(value: Any) -> list[dict[str, str]]:
    if isinstance(value, str) and value.strip():
        return [{"role": "user", "content": _text(value)}]
    if not _is_chat(value):
        raise ValueError
    return [{"role": _text(m.get("role", "user")), "content": _text(m["content"])} for m in value]


def _name(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError
    return _text(str(value))


def _gold(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise ValueError
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    return _text(str(value))


def _answer(value: Any) -> str:
    return _gold(value) if not isinstance(value, str) else _text(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _probability(value: Any) -> float:
    if not 0 <= _number(value) <= 1:
        raise ValueError
    return float(value)


def _logp(value: Any) -> float:
    if _number(value) > 1e-6:
        raise ValueError
    return float(value)


def _count(value: Any) -> int:
    if _number(value) < 0 or value != int(value):
        raise ValueError
    return int(value)


def _truncated(value: Any) -> bool:
    if isinstance(value, str) and value:
        return value in ("length", "max_tokens", "model_length")  # finish reasons of OpenAI, Anthropic and inspect
    return _bool(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool) and value not in (0, 1):
        raise ValueError
    return bool(value)


_EACH: dict[str, tuple[Callable[[Any], Any], str]] = {
    "answer": (_answer, "a text or a number"),
    "confidence": (_probability, "a probability from 0 to 1"),
    "logp": (_logp, "a log-probability of at most 0"),
    "tokens": (_count, "a whole number of at least 0"),
    "truncated": (_truncated, "true, false or a finish reason"),
    "correct": (_bool, "true or false"),
}
