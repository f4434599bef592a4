r"""Find an answer in running text: in the last \boxed{}, as the last number, or where a pattern of yours says.

A place reads a text and says two things: the answer (None where there is none, or where it is in doubt), and whether
the text has the form, the answer once and nothing after it. As with tags, the last one counts and only that one: if it
cannot be read, no earlier one is used instead. A doubtful reading is None, because a wrong one could pay.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import regex  # beside re: a pattern of the user's must end

from rlvr.core.console import warn_once
from rlvr.core.errors import SpecError

SECONDS = 0.5  # for one pattern of the user's on one text
# Answers of several kinds: which of them a pattern takes is not known before it is tried.
PROBES = (("42", "41"), ("A", "B"), ("yes", "no"), ("a", "b"), ("True", "False"), ("apple", "pear"))


class Place(Protocol):
    """Say where an answer stands in a text, and how it is written there."""

    def read(self, text: str) -> tuple[str | None, bool]:
        """Return the answer or None, and whether it stands there once with nothing after it."""

    def write(self, answer: str) -> str:
        """Return the text that states `answer` in this place."""

    def erase(self, text: str) -> str:
        """Return the text with no answer in this place."""


@dataclass(frozen=True)
class Boxed:
    r"""Read the last \boxed{...} with balanced braces; an escaped brace, \{, does not count as one.

    A box that is not closed is none. Of nested boxes the inner one counts. White space and the marks that close a
    formula or a sentence may follow.

    >>> Boxed().read(r"So $x = \boxed{\frac{1}{2}}$.")
    ('\\frac{1}{2}', True)
    >>> Boxed().read(r"\boxed{41}, no: \boxed{42}"), Boxed().read(r"\boxed{41} \boxed{}"), Boxed().read("42")
    (('42', False), (None, False), (None, False))
    """

    def read(self, text: str) -> tuple[str | None, bool]:
        """Return what the last box holds; linear time."""
        still_open: list[tuple[int, int] | None] = []
        opened, closed = 0, []
        for match in _BRACES.finditer(text):
            if match["box"]:
                opened += 1
                still_open.append(match.span())
            elif match["brace"] == "{":
                still_open.append(None)
            elif match["brace"] and still_open and (box := still_open.pop()):
                closed.append((*box, *match.span()))
        if not closed:
            return None, False
        _, start, stop, end = max(closed)
        return text[start:stop].strip() or None, opened == 1 and bool(_CLOSING.fullmatch(text, end))

    def write(self, answer: str) -> str:
        r"""Return \boxed{answer}."""
        return f"\\boxed{{{answer}}}"

    def erase(self, text: str) -> str:
        """Return the text with the boxes taken off, so that what they hold stands there bare."""
        return text.replace("\\boxed{", "{")


_BRACES = re.compile(r"(?P<box>\\boxed\s*\{)|\\.|(?P<brace>[{}])", re.DOTALL)
_CLOSING = re.compile(r"(?:[\s$.*]|\\[)\]])*")


@dataclass(frozen=True)
class LastNumber:
    r"""Read the last number of a text: the last word with a digit, if it is a number and nothing else.

    42   -3.5   1,000   $18   3/4   1e-3   50%   **42**   (42)   \(42\)   x=42   6*7=42

    In doubt, so None: a part of something longer (18kg, f(42), 10:30, 2-1, \frac{3}{4}), a number that an operator
    joins to its neighbours (6 * 7, 42 / x, > 42), one that the next word multiplies (18 thousand), 42! and 42?.

    >>> [LastNumber().read(t)[0] for t in ("5 + 3 = 8, so 8.", "It costs $1,000", "6 * 7", "42!", "none")]
    ['8', '1,000', None, None, None]
    """

    def read(self, text: str) -> tuple[str | None, bool]:
        """Return the last number as it is written, without a currency; linear time."""
        at = max(text.rfind(digit) for digit in "0123456789")
        if at < 0:
            return None, False
        head = text[: at + 1].rsplit(None, 1)[-1]
        tail = "" if text[at + 1 : at + 2].isspace() else (text[at + 1 :].split(None, 1) or [""])[0]
        match = _NUMBER_WORD.fullmatch(head + tail) if len(head + tail) <= _LONGEST_WORD else None
        before = text[max(0, at + 1 - len(head) - _NEAR) : at + 1 - len(head)]
        after = text[at + 1 + len(tail) : at + 1 + len(tail) + _NEAR]
        if not match or _JOINED_BEFORE.search(before):
            return None, False
        if match["closed"][-1:] not in _ENDS and _JOINED_AFTER.match(after):
            return None, False
        return match["number"], True

    def write(self, answer: str) -> str:
        """Return a sentence that ends with the answer."""
        return f"The answer is {answer}"

    def erase(self, text: str) -> str:
        """Return the text without digits."""
        return re.sub("[0-9]", "", text)


_LONGEST_WORD, _NEAR = 80, 24  # characters
_ENDS = (".", ",", ";")  # after these nothing multiplies
_NUMBER_WORD = re.compile(
    r"(?:(?:[^\s<>≤≥≠≈!~]*[^\s<>≤≥≠≈!~=])?=)?"  # what it equals; not >=, !=
    r"(?:[(\[\"'*_`$€£¥₹]|\\[(\[])*"
    r"(?P<number>[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?%?"
    r"|[+-]?\.[0-9]+%?|[+-]?[0-9]+/[0-9]+)"
    r"(?P<closed>(?:[)\]\"'*_`$.,;]|\\[)\]])*)"
)
_JOINED_BEFORE = re.compile(
    r"(?:(?:[0-9)\]}]|(?<![A-Za-z])[A-Za-z])\s*(?:\*\*|[-*/+^×÷·−–])|[<>!~]\s?=|[<>≤≥≠≈~^/×÷·]|[*+](?<!\*\*))\s*\Z"
)
_JOINED_AFTER = re.compile(
    r"\s*(?:[/+^×÷·!?%=<>≤≥]|\*(?!\*)|[-−]\s*[A-Za-z]\b"
    r"|(?:hundred|thousand|million|billion|trillion|dozen|half|halves|thirds|quarters|tenths|percent)\b)"
)


@dataclass(frozen=True)
class Pattern:
    """Read what the last match of a regular expression holds: its one group, or all of it.

    `template` writes an answer so that the pattern reads it. Where it is "", it is taken from the pattern, if that is
    plain text around one group. A pattern that takes longer than half a second on a text has no answer there.

    >>> Pattern("#### (.+)").read("6 * 7 = 42"), Pattern("#### (.+)").read("#### 42"), Pattern("#### (.+)").write("42")
    ((None, False), ('42', True), '#### 42')

    Raises SpecError for what is no pattern, has two groups, matches an empty text, or cannot be written.
    """

    pattern: str
    template: str = ""

    def __post_init__(self) -> None:
        try:
            groups = regex.compile(self.pattern).groups
        except regex.error as error:
            raise SpecError(f"regex(pattern={self.pattern!r}): it is no regular expression: {error}.") from None
        if groups > 1:
            raise SpecError(
                f"regex(pattern={self.pattern!r}): it has {groups} groups, so which one is the answer? Write the "
                "others as (?:...)."
            )
        if regex.search(self.pattern, ""):
            raise SpecError(f"regex(pattern={self.pattern!r}): it matches a text without an answer.")
        if "{answer}" not in self._template or not self.samples:
            raise SpecError(
                f"regex(pattern={self.pattern!r}): say how an answer is written so that the pattern reads it, as in "
                f"regex(pattern='#### (.+)', write='#### {{answer}}'); found write={self.template!r}."
            )

    @property
    def _template(self) -> str:
        return self.template or _written(self.pattern)

    @property
    def samples(self) -> tuple[str, str] | None:
        """Return two different answers that are read as they are written; None where none of PROBES is."""
        for pair in PROBES:
            if all(self.read(self.write(answer)) == (answer, True) for answer in pair):
                return pair
        return None

    def read(self, text: str) -> tuple[str | None, bool]:
        """Return what the last match holds; at most half a second."""
        try:
            matches = list(regex.finditer(self.pattern, text, timeout=SECONDS))
        except TimeoutError:
            warn_once(f"regex(pattern={self.pattern!r}) took over {SECONDS} s on a text: it counts as no answer")
            return None, False
        if not matches:
            return None, False
        last = matches[-1]
        answer = (last[last.re.groups] or "").strip() or None
        return answer, len(matches) == 1 and answer is not None and not text[last.end() :].strip()

    def write(self, answer: str) -> str:
        """Return the answer in the words of the template."""
        return self._template.replace("{answer}", answer)

    def erase(self, text: str) -> str:
        """Return the text without what the template adds to an answer."""
        for part in self._template.split("{answer}"):
            text = text.replace(part, "") if part.strip() else text
        return text


def _written(pattern: str) -> str:
    r"""Return how an answer is written, where a pattern is plain text around one group; else "".

    >>> _written("#### (.+)"), _written(r"Answer:\s*([A-E])$"), _written("a|(b)")
    ('#### {answer}', 'Answer: {answer}', '')
    """
    match = re.fullmatch(r"(?P<before>[^()]*)\((?!\?)[^()]+\)(?P<after>[^()]*)", pattern)
    if not match:
        return ""
    before, after = (re.sub(r"\\s[*+]", " ", match[part]) for part in ("before", "after"))
    before, after = before.removeprefix("^"), after.removesuffix("$").removesuffix(r"\Z")
    return "" if re.search(r"[\\^$.|?*+\[\]{}]", before + after) else f"{before}{{answer}}{after}"
