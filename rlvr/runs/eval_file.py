"""Write and read evaluations on disk; light to import, so that the report needs no model library."""

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from rlvr.core.errors import DataError
from rlvr.core.files import replacing
from rlvr.core.json_rows import json_text
from rlvr.runs.texts_file import DIGEST, add_texts, digest, has_texts, text_rows, texts_path, without_texts, write_texts

SCHEMA = 1


def save_eval(evaluation: dict[str, Any], path: Path) -> None:
    """Write an evaluation, whole or not at all: JSON, and its texts beside it (`texts_path`) if its samples hold some.

    A number that is not finite becomes null, as JSON has no NaN.
    """
    plain = without_texts(evaluation)
    if has_texts(evaluation):
        rows = text_rows(evaluation)
        write_texts(texts_path(path), rows)
        plain[DIGEST] = digest(rows)
    with replacing(path) as temporary:
        temporary.write_text(json_text(plain), encoding="utf-8")
    if DIGEST not in plain:
        texts_path(path).unlink(missing_ok=True)  # those of the evaluation that stood here before


# What a reader may rely on: field -> what it must be, in words and as a test. `bool` is no number here.
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "id": ("text", lambda v: isinstance(v, str)),
    "task": ("text", lambda v: isinstance(v, str)),
    "gold": ("", lambda v: True),
    "p": ("a number from 0 to 1", lambda v: _is_number(v) and 0 <= v <= 1),
    "samples": ("a list", lambda v: isinstance(v, list)),
    "correct": ("true, false or null", lambda v: v is None or isinstance(v, bool)),
    "q_expected": ("a number from 0 to 1, or null", lambda v: v is None or (_is_number(v) and 0 <= v <= 1)),
    "confidence": ("a number from 0 to 1, or null", lambda v: v is None or (_is_number(v) and 0 <= v <= 1)),
    "answer": ("text or null", lambda v: v is None or isinstance(v, str)),
    "tokens": (
        "a whole number of at least 0, or null",
        lambda v: v is None or (_is_number(v) and v >= 0 and v == int(v)),
    ),
    "logp": ("a number or null", lambda v: v is None or _is_number(v)),
    "format_ok": ("true, false or null", lambda v: v is None or isinstance(v, bool)),
    "truncated": ("true, false or null", lambda v: v is None or isinstance(v, bool)),
}
_OF_PROBLEM = ("id", "task", "gold", "p", "samples")
_OPTIONAL = ("p", "q_expected")  # computed only where that is asked for
ALL = tuple(field for field in _FIELDS if field not in _OPTIONAL)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def load_eval(path: str | Path, needs: Collection[str] = ALL, texts: bool = False) -> dict[str, Any]:
    """Read an evaluation and check it (see `check_eval`); raises DataError when the file is missing too.

    With `texts` its samples hold their `text` and its problems the `messages` that were asked; DataError where the
    texts are not there or belong to another evaluation.
    """
    try:
        evaluation = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read the evaluation {str(path)!r}: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{str(path)!r} is not JSON (line {error.lineno}): {error.msg}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of thousands of digits, too deep
        raise DataError(f"{str(path)!r} is not JSON: {error}.") from error
    check_eval(evaluation, repr(str(path)), needs)
    if texts:
        add_texts(evaluation, texts_path(path), repr(str(path)))
    return evaluation


def evaluation_of(source: Any, needs: Collection[str] = ALL) -> dict[str, Any]:
    """Return what an evaluation holds, checked, from its file, an `rlvr.Evaluation`, or what one holds.

    Raises DataError for anything else, and as `check_eval` does.
    """
    if isinstance(source, str | os.PathLike):
        return load_eval(os.fspath(source), needs)
    contents = getattr(source, "contents", source)  # an Evaluation lives in a room above this one
    if not isinstance(contents, Mapping):
        raise DataError(f"Expected an evaluation: a file, an Evaluation or what it holds. Found {source!r:.80}.")
    check_eval(dict(contents), "The evaluation", needs)
    return dict(contents)


def check_eval(evaluation: Any, where: str, needs: Collection[str] = ALL) -> None:
    """Raise DataError, naming `where`, problem and value, unless an evaluation is what docs/run-directory.md says.

    Args:
        needs: the fields of problems and samples that the reader cannot do without. Those that are there are checked
            all the same; so are `n` and `c`, the counts of the samples and of the right ones among them.
    """
    problems = (
        evaluation.get("problems") if isinstance(evaluation, dict) and evaluation.get("schema") == SCHEMA else None
    )
    if not isinstance(problems, list):
        raise DataError(f"{where} is not an evaluation of schema {SCHEMA}. Make one with: rlvr evaluate MODEL")
    needed = {"id", "samples", *needs}
    seen: set[str] = set()
    for place, problem in enumerate(problems, 1):
        name = f"{where}, problem {place}"
        _check_fields(problem, name, [f for f in _OF_PROBLEM if f in needed], _OF_PROBLEM)
        name, samples = f"{where}, problem {problem['id']!r}", problem["samples"]
        if problem["id"] in seen:
            raise DataError(f"{name}: this id stands there twice, so its samples cannot be told apart. Measure again.")
        seen.add(problem["id"])
        of_sample = [f for f in _FIELDS if f not in _OF_PROBLEM]
        for i, sample in enumerate(samples, 1):
            _check_fields(sample, f"{name}, sample {i}", [f for f in of_sample if f in needed], of_sample)
        counts = {"n": len(samples), "c": sum(sample.get("correct") is True for sample in samples)}
        for field, count in counts.items():
            if field in problem and (problem[field] != count or isinstance(problem[field], bool)):
                raise DataError(
                    f"{name}: {field} is {problem[field]!r}, but its samples make it {count} "
                    f"({'how many they are' if field == 'n' else 'how many are right'}). Measure again."
                )


def _check_fields(row: Any, name: str, needed: Collection[str], known: Collection[str]) -> None:
    """Raise DataError unless a problem or a sample has the needed fields, and each known one as it must be."""
    if not isinstance(row, dict):
        raise DataError(f"{name} is {row!r:.60}, not an object. Measure again: rlvr evaluate MODEL")
    for field in needed:
        if field not in row:
            raise DataError(f"{name} has no {field!r}. Measure again: rlvr evaluate MODEL")
    for field in known:
        words, is_right = _FIELDS[field]
        if field in row and not is_right(row[field]):
            raise DataError(f"{name}: {field} must be {words}, found {row[field]!r:.60}.")
