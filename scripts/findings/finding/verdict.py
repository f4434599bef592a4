"""Say what a criterion came to: held, not held, or not testable here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

WORDS = ("held", "not held", "not testable here")


class Point(NamedTuple):
    """Hold one point of a criterion: what it claims, its numbers, and whether it held (or a word: "void")."""

    claim: str
    numbers: str
    held: bool | str

    @property
    def word(self) -> str:
        """Return what the page's column says."""
        return self.held if isinstance(self.held, str) else "yes" if self.held else "no"


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


def name_points(names: Sequence[str], points: Iterable[Point]) -> dict[str, bool | str]:
    """Return the claims of a verdict: a short name for each point, in order.

    >>> name_points(["the sums"], [Point("1. sums rise", "+0.1", True)])
    {'the sums': True}
    """
    return {name: point.held for name, point in zip(names, points, strict=True)}


def outcome(held: Iterable[bool]) -> str:
    """Return what a criterion of several points comes to as a whole, in the words of the pages before 2026-11-24.

    >>> outcome([True, True]), outcome([True, False]), outcome([])
    ('reproduced', 'partly reproduced', 'not reproduced')
    """
    held = list(held)
    return "reproduced" if held and all(held) else "partly reproduced" if any(held) else "not reproduced"
