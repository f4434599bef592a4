"""Read a text that is a form of one number and nothing else; what leaves two readings open is no number.

    18   18.0   1,000   -$5   18 apples   18 km/h   50%   **18**   $18$   \\boxed{18}   x = 18   3/4   1.8 \\times 10^1

A unit is any words after the number, so all units are judged alike. Refused: a second number ("19 or 18"), arithmetic
that is left to do (6*7, 18!, 92/2), a relation (> 42, 41=42), words in front ("not 42"), and words after it that alter
the number (18 thousand) or take it back (18 is wrong).
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_LONGEST = 200  # characters
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<money>[$€£¥₹]?)\s*(?P<sign2>[+-]?)(?:"
    rf"(?:(?P<whole>[0-9]+)(?:\s+|(?=\\)))?(?:(?P<p>[0-9]+)\s*/\s*(?P<q>[0-9]+)(?![0-9.,]*[0-9])"
    rf"|\\frac\s*\{{(?P<fp>[+-]?[0-9]+)\}}\s*\{{(?P<fq>[0-9]+)\}}|\\frac\s*(?P<gp>[0-9])(?P<gq>[0-9]))"
    rf"|(?P<decimal>{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
    rf"(?:[eE](?P<e>[+-]?[0-9]{{1,3}})|\s*\*\s*10\s*\^\s*(?P<ten>[+-]?[0-9]{{1,3}}|\{{[+-]?[0-9]{{1,3}}\}}))?)"
)
# LaTeX and Markdown around a number, and the few labels that answers begin with; peeled from outside in.
_WRAPPED = [
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r"\$\$(.+)\$\$", r"\$([^$]+)\$", r"\\\((.+)\\\)", r"\\\[(.+)\\\]", r"\(([^()]+)\)",
        r"\*\*([^*]+)\*\*", r"\*([^*]+)\*", r"__([^_]+)__", r"`([^`]+)`", r'"([^"]+)"',
        r"\\(?:boxed|fbox|mathbf|mathrm|textbf|text)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}",
        r"(.+[^.\s])\s*\.", r"####\s*(.+)", r"=\s*(.+)", r"[a-z](?:\([a-z]\))?\s*=\s*(.+)",
        r"(?:the\s+)?(?:final\s+)?answer\s*(?:is\b)?\s*[:=]?\s*(.+)",
    )
]  # fmt: skip
_REWRITES = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"(?<=[0-9])(?:\{,\}|\\[,!])(?=[0-9]{3})", ","),
        (r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\(?:left|right)(?![a-zA-Z])|\\!", ""),
        (r"\\[,;: ]|(?<=\S)~(?=\S)|\\q?quad(?![a-zA-Z])", " "),
        (r"\\([$%])", r"\1"),
        (r"\^\s*\{?\\circ\}?|\\degree", "°"),
        (r"\\[dt]frac", r"\\frac"),
        (r"\\(?:times|cdot)(?![a-zA-Z])|[×·]", "*"),
        (r"[−–]", "-"),
        (r"\s+\^", "^"),
    )
]
# "**18** apples"
_MARKED_HEAD = re.compile(r"(?:\*\*([^*]+)\*\*|\$([^$]+)\$|\\boxed\s*\{([^{}]+)\})(\s*[^\W\d_][^*$\\{}]*)")
_WORD = re.compile(r"(°?)([^\W\d_](?:[^\W\d_]|['’.-])*)(?:\^\{?[23]\}?|[²³])?,?|[°$€£¥₹]")
_SYMBOLS = frozenset("mgshlLJNVWAKCF")  # units of one letter; the other letters are variables
_ATTACHED_WORDS = """
kg mg cm mm km ml cl dl ft in yd mi oz lb lbs hr hrs min mins sec am pm mph kmh kwh kw mw hz khz mhz ghz kb mb gb tb
"""
_OTHER_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion half halves
thirds fourths fifths sixths sevenths eighths ninths tenths hundredths thousandths
or not no nor never neither either but than to if unless except instead versus vs is was are isn't wasn't aren't
maybe perhaps possibly probably about approximately roughly around almost nearly guess unsure sure wrong incorrect false
plus minus over divided multiplied factorial mod modulo root power pi sqrt
"""
_ATTACHED = frozenset(_ATTACHED_WORDS.split())  # 18kg; any other letters without a space are a product: 18xy
_NOT_UNITS = frozenset(_OTHER_WORDS.split())
_ONLY_LATER = {"and", "squared", "cubed"}  # "18 cows and pigs", "18 feet squared", but not "18 squared"
_MOST_WORDS = 5
_FIRST_IDEOGRAPH = 0x2E80  # from here on one letter is a word


@dataclass(frozen=True)
class Number:
    """Hold a number as it was written: its exact value, whether it stood with %, as p/q, as p/q in lowest terms."""

    value: Fraction
    percent: bool = False
    fraction: bool = False
    reduced: bool = True


def read_number(text: str) -> Number | None:
    """Return the one number that `text` states in some form, else None; linear time.

    >>> [str(read_number(t).value) for t in ("18 apples", "$1,000.50", "**-3/4**", "x = 18")]
    ['18', '2001/2', '-3/4', '18']
    >>> [read_number(t) for t in ("19 or 18", "18!", "6*7", "> 42", "not 42", "18 thousand")]
    [None, None, None, None, None, None]
    """
    if len(text) > _LONGEST:
        return None
    text = peel(text)
    match = _NUMBER.match(text)
    if not match or (match["sign"] and match["sign2"]):
        return None
    rest = text[match.end() :]
    percent = re.match(r"\s*(?:%|per\s?cent\b)", rest, re.IGNORECASE)
    if percent:
        rest = rest[percent.end() :]
    if not is_unit(rest, attached=not percent and not rest[:1].isspace()):
        return None
    if (match["sign"] or match["sign2"]) and (match["fp"] or "0")[0] in "+-":
        return None
    p, q = (match[a] or match[b] or match[c] for a, b, c in (("p", "fp", "gp"), ("q", "fq", "gq")))
    reduced = True
    if p is None:
        value = Fraction(match["decimal"].replace(",", "").removesuffix("."))
        if match["ten"] and not 1 <= value < 10:  # 18 * 10^2 is arithmetic, 1.8 * 10^3 a way to write a number
            return None
        value *= Fraction(10) ** int(match["e"] or (match["ten"] or "0").strip("{}"))
    elif not int(q):
        return None
    else:
        part = Fraction(int(p), int(q))
        reduced = part.denominator == int(q) > 1
        if match["whole"] and not (reduced and part < 1):
            return None
        value = part + int(match["whole"] or 0)
    negative = "-" in (match["sign"], match["sign2"])
    return Number(-value if negative else value, bool(percent), p is not None and not match["whole"], reduced)


def same_number(found: Number, wanted: Number) -> bool:
    """Return whether two forms state the same number: 50% is 50 and 0.5, but a fraction is only a hundredth of it.

    Exact, except for a gold number of six decimals or more: as math-verify does, half a millionth is left free, so that
    1/3 is 0.333333.

    >>> same_number(read_number("50%"), read_number("0.5")), same_number(read_number("50%"), read_number("0.5%"))
    (True, False)
    """
    factors = {Fraction(1)}
    if found.percent and not wanted.percent:
        factors = {Fraction(1, 100)} if wanted.fraction else {Fraction(1), Fraction(1, 100)}
    elif wanted.percent and not found.percent:
        factors = {Fraction(100)} if found.fraction else {Fraction(1), Fraction(100)}
    long = not wanted.fraction and (wanted.value * 10**5).denominator > 1
    near = min(Fraction(1, 2 * 10**6), abs(wanted.value) / 10**5) if long else 0
    return any(abs(found.value * factor - wanted.value) <= near for factor in factors)


def peel(text: str) -> str:
    """Remove the LaTeX, Markdown and labels around `text`.

    >>> peel("**Answer:** $\\\\boxed{18}$."), peel("The final answer is x = 18")
    ('**Answer:** $\\\\boxed{18}$', '18')
    """
    text = text.strip()
    for _ in range(8):
        before = text
        for pattern, new in _REWRITES:
            text = pattern.sub(new, text)
        text = _MARKED_HEAD.sub(_unmarked, text.strip()) if _MARKED_HEAD.fullmatch(text.strip()) else text.strip()
        for pattern in _WRAPPED:
            if match := pattern.fullmatch(text):
                text = match[1].strip()
        if text == before:
            break
    return text


def is_unit(text: str, attached: bool = False) -> bool:
    """Return whether the words after a number only name what is counted; true for no words.

    >>> is_unit("miles per hour"), is_unit("or nineteen"), is_unit("x"), is_unit("kg", attached=True)
    (True, False, False, True)
    """
    words = re.split(r"\s*/\s*|\s+", text.strip().removeprefix("/").lstrip()) if text.strip() else []
    return len(words) <= _MOST_WORDS and all(
        _is_unit_word(word, first=i == 0, last=i == len(words) - 1, attached=attached and i == 0 and text[0] != "/")
        for i, word in enumerate(words)
    )


def _is_unit_word(text: str, first: bool, last: bool, attached: bool) -> bool:
    match = _WORD.fullmatch(text)
    if not match:
        return False
    degree, letters = match[1], (match[2] or "").rstrip(".")
    if not letters:  # ° or a currency
        return True
    word = letters.casefold()
    if word in _NOT_UNITS or (first and word in _ONLY_LATER) or (word == "times" and not last):
        return False
    if not letters[0].isalpha() or any(unicodedata.numeric(letter, None) is not None for letter in letters):
        return False  # a raised 2, and numerals such as 万
    if ord(letters[0]) >= _FIRST_IDEOGRAPH:
        return True
    if len(letters) == 1:
        return letters in _SYMBOLS or bool(degree)
    return not attached or word in _ATTACHED


def _unmarked(match: re.Match[str]) -> str:
    return (match[1] or match[2] or match[3]) + " " + match[4].strip()
