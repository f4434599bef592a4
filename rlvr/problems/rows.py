"""Make problems of the rows of a table: a local file, a data set on disk, or one of the hub, read by `datasets`."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlvr.core.errors import DataError, did_you_mean
from rlvr.core.records import Problem
from rlvr.problems.source import Part, choose_rows, read_source
from rlvr.problems.verifiers import verifier_function
from rlvr.problems.verifiers.choice import LETTERS
from rlvr.problems.verifiers.number import read_decimal


def load_rows(
    split: str,
    size: int | None,
    seed: int,
    path: str = "",
    name: str = "",
    *,
    prompt: str = "prompt",
    answer: str = "answer",
    answer_after: str = "",
    solution: str = "",
    options: str = "",
    aliases: str = "",
    tests: str = "",
    id: str = "",
    task: str = "",
    verifier: str = "exact",
    train: Part = None,
    validation: Part = None,
    test: Part = None,
) -> list[Problem]:
    """Return up to `size` problems of `split`, in an order that `seed` shuffles.

    Args:
        path, name: a .jsonl, .json, .parquet, .csv or .tsv file, a folder that `datasets` saved or can read, or a data
            set of the hub with its configuration.
        prompt, answer, ...: columns; "answers.value" looks into a mapping. The prompt is a text or chat messages.
        answer_after: the answer is what stands after the last of these (GSM8K: "####").
        solution: a column with a worked solution, which a warm-up can teach.
        options: a column with the texts to choose from (a list, or a mapping with "text"), put under the prompt as
            A. B. C.; the answer is a letter, an index, or an option's text.
        aliases: a column of further right answers (verifier "qa"). tests: a column of assertions (verifier "code").
        id, task: columns; else the row's number and the file's name.
        verifier: see `rlvr.verify_answer`.
        train, validation, test: which rows a split is: a split of the source ("train", "train[:500]", "a+b", "all"),
            or a share of the training rows by a hash of the prompt (0.1), which are then not trained on.

    A source of one split is whole where "test" or "all" is asked for; it is trained on only if `train` or `test` says
    which rows. A missing validation split is a tenth of the training rows. All other columns are the problem's meta,
    which reward functions get by name. Raises DataError naming the source, the row, the column and what was there.
    """
    verifier_function(verifier)  # a wrong name is told before anything is read
    parts: dict[str, Part] = {"train": train, "validation": validation, "test": test}
    source = read_source(path, name)
    chosen = choose_rows(source, split, parts, path, prompt)
    columns = chosen.column_names
    rows = list(range(len(chosen)))
    random.Random(seed).shuffle(rows)
    problems = []
    stem = Path(path).stem
    for i in rows[:size]:
        row, where = chosen[i], f"{path}, split {split}, row {i + 1}"
        chat = _chat(_column(row, prompt, columns, where), where, prompt)
        gold: dict[str, Any] = {"text": _gold(_column(row, answer, columns, where), answer_after, where, answer)}
        if verifier == "number" and read_decimal(gold["text"]) is None:
            raise DataError(f"{where}, column {answer!r}: expected a number, found {gold['text']!r:.80}.")
        if options:
            gold["options"] = _options(_column(row, options, columns, where), where, options)
            gold["text"] = _letter(gold["text"], gold["options"], where, answer)
            chat[-1]["content"] += "\n" + "\n".join(f"{a}. {b}" for a, b in zip(LETTERS, gold["options"], strict=False))
        for key, column in (("aliases", aliases), ("tests", tests)):
            if column:
                gold[key] = _texts(_column(row, column, columns, where), where, column)
        meta = {key: value for key, value in row.items() if key != prompt}
        if solution:
            meta["solution_text"] = str(_column(row, solution, columns, where))
        problems.append(
            Problem(
                id=f"{stem}/{_column(row, id, columns, where)}" if id else f"{stem}/{split}/{i + 1}",
                prompt=chat,
                answer=gold | {"verifier": verifier},
                task=str(_column(row, task, columns, where)) if task else stem,
                meta=meta,
            )
        )
    return problems


def _column(row: Mapping[str, Any], column: str, columns: Sequence[str], where: str) -> Any:
    value: Any = row
    for key in [column] if column in row else column.split("."):
        if not isinstance(value, Mapping) or key not in value:
            there = list(value) if isinstance(value, Mapping) else columns
            raise DataError(f"{where}: {did_you_mean('column', column, there)}")
        value = value[key]
    return value


def _chat(value: Any, where: str, column: str) -> list[dict[str, str]]:
    if isinstance(value, str) and value.strip():
        return [{"role": "user", "content": value}]
    messages = isinstance(value, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value
    )
    if not messages or not value:
        raise DataError(f"{where}, column {column!r}: expected a text or chat messages, found {value!r:.80}.")
    return [{"role": m["role"], "content": m["content"]} for m in value]


def _gold(value: Any, after: str, where: str, column: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise DataError(f"{where}, column {column!r}: expected a text or a number, found {value!r:.80}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{where}, column {column!r}: expected a number, found {value!r}.")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else str(value)
    if not after:
        return text
    if after not in text:
        raise DataError(f"{where}, column {column!r}: expected an answer after {after!r}, found {text!r:.80}.")
    return text.rpartition(after)[2].strip()


def _options(value: Any, where: str, column: str) -> list[str]:
    texts = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts) or not 2 <= len(texts) <= len(LETTERS):
        raise DataError(f"{where}, column {column!r}: expected 2 to 26 texts to choose from, found {value!r:.80}.")
    return texts


def _letter(gold: str, options: Sequence[str], where: str, column: str) -> str:
    """Return the letter of the gold option, which a row gives as a letter, an index from 0, or the option's text."""
    text = gold.strip()
    if len(text) == 1 and text.upper() in LETTERS[: len(options)]:
        return text.upper()
    if options.count(gold) == 1:
        return LETTERS[options.index(gold)]
    if text.isdecimal() and int(text) < len(options):
        return LETTERS[int(text)]
    raise DataError(
        f"{where}, column {column!r}: expected the letter, the index from 0 or the text of one of "
        f"{len(options)} options, found {gold!r:.80}."
    )


def _texts(value: Any, where: str, column: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}, column {column!r}: expected texts, found {value!r:.80}.")
    return texts
