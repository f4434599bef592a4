"""Read which one of several options an answer chooses."""

import re
from collections.abc import Sequence

from rlvr.problems.verifiers.text import same_text, words

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(r"[(\[*]*\s*(?:option\s+|choice\s+)?([A-Za-z])\s*[)\].:*]*(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)


def same_option(answer: str, gold: str, options: Sequence[str]) -> bool:
    """Return whether `answer` chooses the option whose letter is `gold`, and no other.

    >>> options = ["red", "blue", "green"]
    >>> [same_option(text, "B", options) for text in ("B", "(b).", "B. blue", "Blue", "B or C", "B. red", "B, C")]
    [True, True, True, True, False, False, False]
    """
    chosen = chosen_option(answer, options)
    return chosen is not None and LETTERS[chosen] == gold


def chosen_option(answer: str, options: Sequence[str]) -> int | None:
    """Return the index of the one option that `answer` names: its letter, its text, or both where they agree.

    A text that is also a letter of the list ("A" where options are B, A) is read as the text's option only where the
    letter's is the same; else nothing is chosen, as where two options have the answer's text.
    """
    by_text = [i for i, option in enumerate(options) if same_text(answer, option) or _same(answer, option)]
    by_letter = _by_letter(answer.strip(), options)
    named = set(by_text) | ({by_letter} if by_letter is not None else set())
    return named.pop() if len(named) == 1 else None


def _by_letter(answer: str, options: Sequence[str]) -> int | None:
    match = _LETTER.fullmatch(answer)
    if not match:
        return None
    index, rest = LETTERS.index(match[1].upper()), (match[2] or "").strip()
    if index >= len(options) or (rest and not (same_text(rest, options[index]) or _same(rest, options[index]))):
        return None
    return index


def _same(answer: str, option: str) -> bool:
    return bool(words(option)) and words(answer) == words(option)
