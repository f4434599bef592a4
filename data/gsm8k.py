"""GSM8K grade-school word problems (2110.14168), from a local JSONL file or from the hub.

    gsm8k(path='train.jsonl')        rows {"question": ..., "answer": "working #### final"}
    gsm8k                            openai/gsm8k from the hub

A hash of the question decides its split: of a local file 80% are train, 10% validation and 10% test; `all` is
every row. From the hub, `test` is the official test split, and 10% of the official train split are validation, the
rest train.
"""

import hashlib
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import rlvr
from rlvr import DataError, Problem

VERSION = 1
COMPLETION_TOKENS = 512  # the length limit of an evaluation that names none
INLINE = True
_SPLITS = {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100), "all": range(100)}
VERIFIERS = ("strict", "math", "published")
_MARKS = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"([+-]?)\$?((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)[.%]?")


def load(split: str, size: int | None, seed: int, path: str = "", verifier: str = "strict") -> list[Problem]:
    """Return up to `size` problems of `split` in file order (`seed` is unused: the data are fixed).

    `verifier`: "strict" wants the number and nothing else; "math" takes any form of it (18 apples, \\boxed{18});
    "published" takes the last number of the answer, as the published numbers do (see `verify`). That is for measuring:
    it pays for a list of guesses and for the whole working.
    """
    if split not in _SPLITS or (split == "all" and not path):
        raise DataError(f"No split {split!r}. Known: train, validation, test; of a local file also all.")
    if verifier not in VERIFIERS:
        raise DataError(f"verifier must be one of {', '.join(VERIFIERS)}, found {verifier!r}.")
    if path:
        rows, mine = _local(path), _SPLITS[split]
    elif split == "test":
        rows, mine = _hub("test"), range(100)
    else:
        rows, mine = _hub("train"), _SPLITS["validation"]
        if split == "train":
            mine = [h for h in range(100) if h not in mine]
    problems = []
    for number, row in enumerate(rows, 1):
        if size is not None and len(problems) >= size:
            break
        question, answer = (row.get("question"), row.get("answer")) if isinstance(row, dict) else (None, None)
        if not isinstance(question, str) or not isinstance(answer, str) or "####" not in answer:
            raise DataError(
                f"{path or 'openai/gsm8k'}, row {number}: expected 'question' and an 'answer' with a "
                f"'#### final' part, found {row!r:.120}."
            )
        words = " ".join(question.split())  # white space makes no other problem
        digest = int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")
        if digest % 100 not in mine:
            continue
        working, _, final = answer.rpartition("####")
        problems.append(
            Problem(
                id=f"gsm8k-v{VERSION}/{split}/{digest:08x}-{number}",
                prompt=[{"role": "user", "content": question}],
                answer=final.strip() if verifier == "strict" else {"text": final.strip(), "verifier": verifier},
                task="gsm8k",
                meta={"working": _MARKS.sub("", working).strip()},
            )
        )
    return problems


def solution(problem: Problem) -> str:
    """Return the published working without its <<calculator>> marks."""
    return str(problem.meta["working"])


def rows(path: str = "", **others: Any) -> int | None:
    """Return how many rows a local file has, over all splits; None for the hub, whose splits are official."""
    return len(_local(path)) if path else None


def gold_answer(problem: Problem) -> str:
    """Return the gold answer's text."""
    return problem.answer if isinstance(problem.answer, str) else str(problem.answer["text"])


def verify(answer: str, gold: str | dict[str, str]) -> bool:
    """Return whether `answer` is the gold number and nothing else; $, %, separators, a trailing full stop are ignored.

    The sign stands before the $. Refused: words, units, fractions, exponents, digits of other scripts.

    With verifier='published' the last number in the answer counts, found and compared as lm-evaluation-harness does by
    "flexible-extract": without commas, $ and a trailing full stop, then as text, so 18.0 is not 18.

    >>> verify("$1,200.00", "1200"), verify("12 apples", "12")
    (True, False)
    >>> verify("It is **12** apples.", {"text": "12", "verifier": "published"})
    True
    """
    if isinstance(gold, dict):
        return rlvr.verify_answer(answer, gold)  # imported only where it is needed: math-verify takes a second
    found, wanted = _value(answer), _value(gold)
    return found is not None and found == wanted


def _value(text: str) -> Decimal | None:
    match = _NUMBER.fullmatch(text.strip()) if len(text) < 64 else None
    return Decimal(match[1] + match[2].replace(",", "")) if match else None


def _local(path: str) -> list[Any]:
    try:
        lines = Path(path).expanduser().read_bytes().rstrip().split(b"\n")
    except OSError as error:
        raise DataError(f"Cannot read {path!r}: {error.strerror}.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, too deep
            raise DataError(f"{path}, line {number} is not JSON: {getattr(error, 'msg', None) or error}.") from None
    return rows


def _hub(split: str) -> list[dict[str, Any]]:
    from datasets import load_dataset

    try:
        return list(load_dataset("openai/gsm8k", "main", split=split))
    except Exception as error:  # whatever the hub client raises, the user needs the way out
        raise DataError(
            f"Cannot fetch openai/gsm8k from the hub ({type(error).__name__}). Give a local file instead: "
            "gsm8k(path='train.jsonl')"
        ) from error
