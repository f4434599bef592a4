"""Read a table's splits with `datasets`, and choose the rows that training, validation and test get."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.core.errors import DataError, did_you_mean
from rlvr.core.json_rows import json_text

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SPLITS = ("train", "validation", "test")
Part = str | float | None  # a split of the source, a share of the training rows, or what the source says itself
_FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}


def read_source(path: str, name: str = "") -> "DatasetDict":
    """Return the splits of a table that `path` names: see `load_rows`.

    Raises DataError where nothing is there, or it cannot be read, with the way out.
    """
    from datasets import Dataset, DatasetDict, load_dataset, load_from_disk

    file = Path(path).expanduser()
    if not path:
        raise DataError("Which data? Write hf(path='file.jsonl') or hf(path='owner/name'), and its columns.")
    looks_local = file.suffix in _FORMATS or file.exists()
    if looks_local and not file.exists():
        raise DataError(f"No file {path!r} (looked in {file.absolute().parent}).")
    try:
        if file.is_file():
            if file.suffix not in _FORMATS:
                raise DataError(f"{path}: expected one of {', '.join(_FORMATS)}, found {file.suffix or 'no suffix'!r}.")
            kind = _FORMATS[file.suffix]
            csv = {"sep": "\t" if file.suffix == ".tsv" else ",", "keep_default_na": False} if kind == "csv" else {}
            return load_dataset(kind, data_files={"rows": str(file)}, **csv)
        saved = file.is_dir() and any((file / mark).exists() for mark in ("dataset_dict.json", "state.json"))
        loaded = load_from_disk(str(file)) if saved else load_dataset(str(file) if looks_local else path, name or None)
    except DataError:
        raise
    except Exception as error:  # whatever datasets, pyarrow, pandas or the hub's client raise
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"Cannot read {path!r}: {reason:.300}"
            + ("" if looks_local else " Without a network give a local file of the same columns: path='file.jsonl'.")
        ) from error
    return DatasetDict({"rows": loaded}) if isinstance(loaded, Dataset) else loaded


def choose_rows(source: "DatasetDict", split: str, parts: Mapping[str, Part], path: str, prompt: str) -> "Dataset":
    """Return the rows of one split: a split of the source, or a share of its training rows."""
    if split not in (*SPLITS, "all"):
        raise DataError(f"No split {split!r}. Known: {', '.join(SPLITS)}, all.")
    if split == "all":
        return _named(source, "all", path)
    part, alone = parts[split], len(source) == 1
    if isinstance(part, str):
        rows = _named(source, part, path)
        return _rest(rows, parts, path, prompt, source) if split == "train" else rows
    if part is None and split == "test":
        if "test" in source or alone:
            return source["test"] if "test" in source else next(iter(source.values()))
        raise DataError(
            f"{path} has no split 'test'; it has {', '.join(source)}. Say which rows are measured: test='NAME', or a "
            "share of the training rows, test=0.1."
        )
    if part is None and split == "validation" and "validation" in source:
        return source["validation"]
    rows = _training_rows(source, parts, path, split)
    if split == "train":
        return _rest(rows, parts, path, prompt, source)
    low, high = _bounds(parts, source)[split]
    return rows.select([i for i, row in enumerate(rows[prompt.split(".")[0]]) if low <= _bucket(row) < high])


def _training_rows(source: "DatasetDict", parts: Mapping[str, Part], path: str, split: str) -> "Dataset":
    """Return the rows that training and the shares of it are taken from."""
    if isinstance(parts["train"], str):
        return _named(source, parts["train"], path)
    if isinstance(parts["train"], float):
        raise DataError(f"train={parts['train']}: a share is set aside from the training rows: write test=0.1.")
    if "train" in source and (len(source) > 1 or parts["test"] is not None):
        return source["train"]
    if len(source) == 1 and parts["test"] is not None:
        return next(iter(source.values()))
    raise DataError(
        f"{path} has {'one split' if len(source) == 1 else 'no split train, only ' + ', '.join(source)}, so "
        f"which of its rows are for {split}? Write test=0.1 (a tenth is set aside, by a hash of the prompt), or "
        "train='all' if nothing of it is measured."
    )


def _rest(rows: "Dataset", parts: Mapping[str, Part], path: str, prompt: str, source: "DatasetDict") -> "Dataset":
    """Return training rows without the shares that are set aside for validation and test."""
    end = max((high for _, high in _bounds(parts, source).values()), default=0.0)
    if not end:
        return rows
    return rows.select([i for i, row in enumerate(rows[prompt.split(".")[0]]) if _bucket(row) >= end])


def _bounds(parts: Mapping[str, Part], source: "DatasetDict") -> dict[str, tuple[float, float]]:
    """Return the buckets [low, high) of each split that is a share of the training rows."""
    shares = {split: parts[split] for split in ("test", "validation")}
    if shares["validation"] is None and "validation" not in source:
        shares["validation"] = 0.1
    bounds, low = {}, 0.0
    for split, share in shares.items():
        if not isinstance(share, str | None):
            if not 0 < share < 1:
                raise DataError(f"{split}={share}: a share of the rows lies between 0 and 1.")
            bounds[split] = (low, low := low + share)
    if low >= 1:
        raise DataError(f"The shares for test and validation sum to {low:g}, so nothing is left to train on.")
    return bounds


def _bucket(prompt: Any) -> float:
    """Return a number in [0, 1) that only the prompt decides; white space makes no other problem."""
    text = " ".join(prompt.split()) if isinstance(prompt, str) else json_text(prompt, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def _named(source: "DatasetDict", part: str, path: str) -> "Dataset":
    """Return the rows of a split expression: "all", or what `datasets` understands, such as "train[:10%]+test"."""
    from datasets import ReadInstruction, concatenate_datasets

    if part == "all":
        return concatenate_datasets(list(source.values()))
    for piece in part.split("+"):
        if (base := piece.partition("[")[0].strip()) not in source:
            raise DataError(did_you_mean(f"split of {path}", base, list(source)))
    try:
        pieces = ReadInstruction.from_spec(part).to_absolute({base: len(rows) for base, rows in source.items()})
    except (ValueError, AssertionError) as error:
        raise DataError(f"Cannot read the split {part!r}: {error} Write train[10:20], train[:5%] or a+b.") from None
    return concatenate_datasets([source[p.splitname].select(range(p.from_ or 0, p.to)) for p in pieces])
