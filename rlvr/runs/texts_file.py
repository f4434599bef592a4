"""Keep what an evaluation's completions say: a Parquet file beside the JSON, one row for each sample."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.core.errors import DataError
from rlvr.core.files import replacing

DIGEST = "texts_sha256"  # the field of the JSON that names the texts which belong to it
COLUMNS = ("id", "sample", "prompt", "messages", "text")


def texts_path(path: str | Path) -> Path:
    """Return where the texts of an evaluation file stand.

    >>> texts_path("evals/a.json").as_posix()
    'evals/a.texts.parquet'
    """
    return Path(path).with_suffix(".texts.parquet")


def has_texts(record: Mapping[str, Any]) -> bool:
    """Return whether the samples of an evaluation in memory hold their texts (`text`).

    >>> has_texts({"problems": [{"samples": [{"text": "4"}]}]}), has_texts({"problems": []})
    (True, False)
    """
    samples = [sample for problem in record["problems"] for sample in problem["samples"]]
    return bool(samples) and all("text" in sample for sample in samples)


def without_texts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation as its JSON holds it: no prompts and no texts; nothing that is handed in changes."""
    problems = [
        {
            **{key: value for key, value in problem.items() if key != "messages"},
            "samples": [
                {key: value for key, value in sample.items() if key != "text"} for sample in problem["samples"]
            ],
        }
        for problem in record["problems"]
    ]
    return {**{key: value for key, value in record.items() if key != DIGEST}, "problems": problems}


def text_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each sample: id, sample (from 0), prompt (the last message), messages (JSON), text."""
    rows = []
    for problem in record["problems"]:
        messages = problem.get("messages") or []
        prompt = messages[-1]["content"] if messages else ""
        chat = json.dumps(messages, ensure_ascii=False)
        for i, sample in enumerate(problem["samples"]):
            rows.append({"id": problem["id"], "sample": i, "prompt": prompt, "messages": chat, "text": sample["text"]})
    return rows


def digest(rows: list[dict[str, Any]]) -> str:
    """Return the SHA-256 of the rows' content, whatever way Parquet has packed them."""
    total = hashlib.sha256()
    for row in rows:
        total.update(json.dumps([row[column] for column in COLUMNS]).encode())
    return total.hexdigest()


def write_texts(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of `text_rows`, whole or not at all."""
    kinds = {column: pa.int64() if column == "sample" else pa.string() for column in COLUMNS}
    columns = {column: pa.array([row[column] for row in rows], kind) for column, kind in kinds.items()}
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def add_texts(record: dict[str, Any], path: Path, where: str) -> None:
    """Put the texts that stand in `path` into an evaluation that was read from its JSON: messages, and text by sample.

    Raises DataError where there are none, where they cannot be read, or where they are not this evaluation's: other
    ids, other counts, or another content than the one whose digest the JSON holds.
    """
    expected = record.get(DIGEST)
    if expected is None:
        raise DataError(
            f"{where} holds no texts, so its completions cannot be read again: it was made with --texts none, or "
            "before evaluations kept them. Measure again: rlvr evaluate MODEL"
        )
    try:
        rows = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
    except FileNotFoundError:
        raise DataError(f"{where} has texts, but {str(path)!r} is not there. Put it back beside the JSON.") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"The texts {str(path)!r} cannot be read: {error}.") from error
    places = [(problem["id"], i) for problem in record["problems"] for i in range(len(problem["samples"]))]
    if digest(rows) != expected or [(row["id"], row["sample"]) for row in rows] != places:
        raise DataError(
            f"The texts {str(path)!r} do not belong to {where}: their content is not what it was saved with. "
            "Both files of one evaluation have one name, and are moved together."
        )
    left = iter(rows)
    for problem in record["problems"]:
        for sample in problem["samples"]:
            row = next(left)
            problem["messages"] = json.loads(row["messages"])
            sample["text"] = row["text"]
