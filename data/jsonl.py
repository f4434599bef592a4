"""Any JSONL file of yours: one problem per line, with a column map.

jsonl(path='mine.jsonl', prompt='question', answer='final', verifier='number')
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from rlvr import DataError, Problem, json_object, verifier_function, verify_answer

VERSION = 2  # 2: verifier='math' wants a form of the number: no arithmetic left to do, units all alike
_SPLITS = {
    "train": range(0, 80),
    "validation": range(80, 90),
    "test": range(90, 100),
    "all": range(100),
}  # hundredths, by prompt


def load(
    split: str,
    size: int | None,
    seed: int,
    path: str = "",
    prompt: str = "prompt",
    answer: str = "answer",
    id: str = "",
    verifier: str = "exact",
) -> list[Problem]:
    """Return up to `size` problems of `split` in file order; a prompt's hash decides its split, so none is shared;
    the split "all" has every row, for a file that is only measured (or only trained on).

    `prompt` and `answer` name columns; the prompt is a text or a list of chat messages. `id` may name a column,
    else the line number is used. Raises DataError naming the line, the column and what was found. `seed` is unused:
    a file has one content.

    `verifier`: "exact" compares the text, case and outer white space ignored; "qa" the words; "number" the exact
    decimal value, and the answer must be a number and nothing else; "math" any form of the gold number (18 apples,
    $18$, 3/4; a sum left to do is none), or where the gold answer is no number, what math-verify says is the same; or
    a function of yours, "path.py:function". All are in rlvr/problems/verifiers.
    """
    if split not in _SPLITS:
        raise DataError(f"No split {split!r}. Known: {', '.join(_SPLITS)}.")
    if verifier in ("choice", "code"):
        raise DataError(
            f"verifier={verifier!r} reads a further column: write hf(path={path!r}, ...) in place of jsonl."
        )
    verifier_function(verifier)  # a wrong name is told now
    file = Path(path).expanduser()
    if not path or not file.is_file():
        raise DataError(f"No file {path!r}. Write jsonl(path='file.jsonl', prompt='column', answer='column').")
    problems: list[Problem] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if size is not None and len(problems) >= size:
                break
            if not line.strip():
                continue
            row = _row(path, number, line, prompt, answer, id)
            if verifier == "number" and not verify_answer(
                str(row[answer]), {"text": str(row[answer]), "verifier": "number"}
            ):
                raise DataError(
                    f"{path}, line {number}, column {answer!r}: expected a number, found {row[answer]!r:.80}."
                )
            chat = row[prompt] if isinstance(row[prompt], list) else [{"role": "user", "content": row[prompt]}]
            digest = hashlib.sha256(json.dumps(chat, sort_keys=True).encode()).digest()
            if int.from_bytes(digest[:4], "big") % 100 not in _SPLITS[split]:
                continue
            gold = str(row[answer])
            problems.append(
                Problem(
                    id=f"{file.stem}/{row[id] if id else number}",
                    prompt=chat,
                    answer={"text": gold, "verifier": verifier},
                    task=file.stem,
                    meta={"line": number},
                )
            )
    return problems


def rows(path: str = "", **others: Any) -> int:
    """Return how many rows the file has, over all splits."""
    with Path(path).expanduser().open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def gold_answer(problem: Problem) -> str:
    """Return the gold answer's text."""
    return str(problem.answer["text"])


def verify(answer: str, gold: dict[str, str]) -> bool:
    """Return whether `answer` equals the gold answer under the verifier that the file asked for.

    >>> verify(" Paris ", {"text": "paris", "verifier": "exact"})
    True
    >>> verify("1,000.0", {"text": "1000", "verifier": "number"})
    True
    """
    return verify_answer(answer, gold)


def _row(path: str, number: int, line: bytes, prompt: str, answer: str, id: str) -> dict[str, Any]:
    where = f"{path}, line {number}"
    row = json_object(line, where)
    for column in filter(None, (prompt, answer, id)):
        if column not in row:
            raise DataError(f"{where} has no column {column!r}; it has {', '.join(map(repr, row)) or 'none'}.")
    text = row[prompt]
    chat_ok = (
        isinstance(text, list)
        and text
        and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in text)
        and all(isinstance(m["content"], str) for m in text)
    )
    if not chat_ok and not (isinstance(text, str) and text.strip()):
        raise DataError(f"{where}, column {prompt!r}: expected a text or chat messages, found {text!r:.80}.")
    if isinstance(row[answer], float) and not math.isfinite(row[answer]):  # as text it would be the answer "nan"
        raise DataError(f"{where}, column {answer!r}: expected a number, found {row[answer]!r}.")
    if not isinstance(row[answer], str | int | float) or not str(row[answer]).strip():
        raise DataError(f"{where}, column {answer!r}: expected a text or number, found {row[answer]!r:.80}.")
    return row
