"""The verdict under a finding's title: held, not held, or not testable here."""

import textwrap
from collections.abc import Mapping

WORDS = ("held", "not held", "not testable here")


def spell(claims: Mapping[str, bool | str]) -> str:
    """Return the one word that all claims share, or else the split: which claims held, which did not.

    A truth value counts as held or not held.

    >>> spell({"calibration": "not testable here"})
    'not testable here'
    >>> spell({"the form": True, "the facts": False, "the sums": True})
    'held: the form, the sums; not held: the facts'
    """
    words = {name: w if isinstance(w, str) else "held" if w else "not held" for name, w in claims.items()}
    if unknown := set(words.values()) - set(WORDS):
        raise ValueError(f"A verdict is one of {', '.join(WORDS)}; found {', '.join(sorted(unknown))}.")
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    groups = {word: [name for name in words if words[name] == word] for word in WORDS}
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in groups.items() if names)


def verdict_lines(claims: Mapping[str, bool | str], text: str) -> str:
    """Return the verdict on a line of its own, and below it what the reader has to know about it."""
    below = textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)
    return f"**Verdict: {spell(claims)}.**\n{below}"
