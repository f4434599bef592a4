"""Read and write worked rows, JSONL: {"id"?, "prompt": text or messages, "completion": whole reply in its form, ...}.

What `rlvr select` filters and `rlvr warmup` teaches. Other columns are carried along untouched.
"""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import DataError
from rlvr.core.files import replacing
from rlvr.core.json_rows import json_object

Chat = list[dict[str, str]]


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file, each with an `id` (its line number where it has none).

    Raises DataError naming the file, the line and what was found: no JSON object, no prompt, an id that was there.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"No file {str(path)!r}. Worked rows are JSONL with the columns prompt and completion.")
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = json_object(line, where)
        row["id"] = str(row.get("id", number))
        if row["id"] in rows:
            raise DataError(f"{where}: the id {row['id']!r} was there before; ids must be unique.")
        as_chat(row.get("prompt"), f"{where}, column 'prompt'")
        rows[row["id"]] = row
    if not rows:
        raise DataError(f"{str(path)!r} holds no rows.")
    return list(rows.values())


def write_rows(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write rows as JSONL, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def as_chat(prompt: Any, where: str) -> Chat:
    """Return a prompt as chat messages; DataError, beginning with `where`, if it is neither a text nor messages.

    >>> as_chat("2 + 2?", "row 1")
    [{'role': 'user', 'content': '2 + 2?'}]
    """
    if isinstance(prompt, str) and prompt.strip():
        return [{"role": "user", "content": prompt}]
    if (
        isinstance(prompt, list)
        and all(isinstance(m, dict) and {type(m.get("role")), type(m.get("content"))} == {str} for m in prompt)
        and any(m["content"].strip() for m in prompt)
    ):
        return [{"role": m["role"], "content": m["content"]} for m in prompt]
    raise DataError(f"{where}: expected a text or chat messages, found {prompt!r:.80}.")


def as_text(completion: Any, where: str) -> str:
    """Return a completion that is a text with something in it; DataError, beginning with `where`, otherwise."""
    if not isinstance(completion, str) or not completion.strip():
        raise DataError(f"{where}: expected the text of a reply, found {completion!r:.80}.")
    return completion


def lessons(
    rows: Sequence[dict[str, Any]], answers: AnswerFormat | str | Sequence[str], seed: int
) -> list[tuple[Chat, str]]:
    """Return the (prompt, reply) pair of each row, in the form that a run with this format, or these tags, expects.

    A reply without a confidence, where one is asked for, gets a random one: what a model says of its own chances is
    learned from the reward. Raises DataError for a reply of another form: a warm-up must not teach a wrong one.

    >>> lessons([{"id": "1", "prompt": "2 + 2?", "completion": "<answer>4</answer>"}], ["answer"], 0)[0][1]
    '<answer>4</answer>'
    """
    answers, draw, pairs = AnswerFormat.of(answers), random.Random(seed), []
    for row in rows:
        where = f"Worked row {row['id']!r}, column 'completion'"
        chat, reply = as_chat(row["prompt"], where), as_text(row.get("completion"), where)
        drawn = answers.stated(str(draw.randint(0, 10) / 10))
        whole = next((text for text in (reply, reply + drawn) if answers.parse(text).format_ok), None)
        if whole is None:
            raise DataError(
                f"{where}: expected the form {answers.form} (the confidence may be left out), found {reply!r:.120}."
            )
        pairs.append((chat, whole))
    return pairs
