"""Find the problem of a set that a stored completion answers: by its id, or by its prompt."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from rlvr.core.console import say
from rlvr.core.errors import DataError
from rlvr.core.records import Problem
from rlvr.measure.stored.completion import StoredCompletion


def match(
    rows: Sequence[StoredCompletion], problems: Sequence[Problem], spec: str
) -> list[tuple[Problem, list[StoredCompletion]]]:
    """Return the problems that the rows answer, in the set's order, each with its completions.

    A row with an id answers the problem of that id; the part after the first "/" will do where no other problem ends
    so. Without an id the prompt must be the problem's: all messages, or the last one's text, white space at its ends
    ignored. Raises DataError, naming the row, where there is no such problem. Problems without a completion are left
    out, and said.
    """
    known = _Index(problems)
    answered: dict[str, list[StoredCompletion]] = {}
    for row in rows:
        answered.setdefault(known.problem(row, spec).id, []).append(row)
    if left := len(problems) - len(answered):
        say(
            f"WARNING: {left} of the {len(problems)} problems of {spec} have no completion and are left out. Where the "
            "model gave none, add a row with an empty completion, which counts as wrong."
        )
    return [(problem, answered[problem.id]) for problem in problems if problem.id in answered]


class _Index:
    def __init__(self, problems: Sequence[Problem]):
        self.by_id = {problem.id: problem for problem in problems}
        short = {problem.id: problem.id.partition("/")[2] for problem in problems}
        ends = Counter(short.values())
        self.by_short = {short[p.id]: p for p in problems if short[p.id] and ends[short[p.id]] == 1}
        self.by_prompt: dict[str, list[Problem]] = {}
        for problem in problems:
            for key in dict.fromkeys(_keys(problem.prompt)):
                self.by_prompt.setdefault(key, []).append(problem)

    def problem(self, row: StoredCompletion, spec: str) -> Problem:
        """Return the one problem that a row answers."""
        if row.id is not None:
            found = self.by_id.get(row.id) or self.by_short.get(row.id)
            if found is None:
                example = next(iter(self.by_id))
                raise DataError(
                    f"{row.where}: {spec} has no problem {row.id!r} (ids there: {example!r}, ...; {len(self.by_id)} "
                    "problems). Is it in another split (--split all), of another size or seed (--size, --data_seed)? "
                    "Without an id column the prompt decides."
                )
            return found
        for key in _keys(row.messages):
            if len(candidates := self.by_prompt.get(key, [])) == 1:
                return candidates[0]
            if candidates:
                raise DataError(f"{row.where}: {len(candidates)} problems of {spec} have this prompt. Give ids.")
        raise DataError(
            f"{row.where}: no problem of {spec} has the prompt {row.messages[-1]['content']!r:.80}. Is it in another "
            "split (--split all), of another size or seed (--size, --data_seed)?"
        )


def _keys(messages: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what a prompt is known by: all of its messages, then the last one alone."""
    whole = json.dumps([[m["role"], m["content"].strip()] for m in messages])
    return [whole, messages[-1]["content"].strip()]
