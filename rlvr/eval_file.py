"""Evaluation records on disk: light to import, so that the report needs no model library."""

import json
from pathlib import Path
from typing import Any

from rlvr.errors import DataError
from rlvr.files import replacing
from rlvr.json_rows import json_text

SCHEMA = 1


def save_eval(record: dict[str, Any], path: Path) -> None:
    """Write an evaluation record atomically; a number that is not finite becomes null, as JSON has no NaN."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(record), encoding="utf-8")


def load_eval(path: str | Path) -> dict[str, Any]:
    """Read an evaluation record; raises DataError when the file is missing or is not one."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read the evaluation {str(path)!r}: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{str(path)!r} is not JSON (line {error.lineno}): {error.msg}.") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or "problems" not in record:
        raise DataError(f"{str(path)!r} is not an evaluation of schema {SCHEMA}. Make one with: rlvr evaluate MODEL")
    return record
