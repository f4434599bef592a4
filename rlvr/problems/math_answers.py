"""Compare a maths answer with the gold one: numbers by their form (number_forms.py), the rest by math-verify."""

import logging
import re

import math_verify  # here, not where it is called: the import must not count against an answer's time limit

from rlvr.problems.number_forms import is_unit, peel, read_number, same_number

# It warns that its alarm is off; rlvr's worker process guards the time instead.
logging.getLogger("math_verify").setLevel(logging.ERROR)
_RELATION = re.compile(r"[=<>≤≥≠≈]|\\(?:leq?|geq?|neq?|lt|gt|approx|equiv|sim)(?![a-zA-Z])")
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}")
_FUNCTION_WORDS = """
sin cos tan cot sec csc
arcsin arccos arctan sinh cosh tanh log ln exp sqrt pi min max gcd lcm mod det inf infty infinity
"""
_FUNCTIONS = frozenset(_FUNCTION_WORDS.split())


def same_answer(answer: str, gold: str) -> bool:
    """Return whether `answer` is a form of what `gold` states.

    A gold answer that is a number wants a form of that number: see number_forms. For any other (a fraction, a formula,
    a set, an interval) math-verify decides, of answers that make one claim: no relation, no words, no sum left to do
    that the gold answer has none of. Raises nothing; may hang, as math-verify does (9^{9^{9}}).

    >>> same_answer("18 apples", "18"), same_answer("6*3", "18"), same_answer("(x-1)(x+1)", "x^2-1")
    (True, False, True)
    """
    wanted, found = read_number(gold), read_number(answer)
    if wanted is not None and (found is not None or not wanted.fraction):
        return found is not None and (found.reduced or wanted.fraction) and same_number(found, wanted)
    gold, answer = peel(gold), _without_unit(peel(answer))
    if _is_text(gold):
        return answer.casefold() == gold.casefold()
    if _several(gold):  # x = 1 or x = 2
        answer = re.sub(r"(?<![a-zA-Z\\])[a-zA-Z]\s*=\s*", "", answer)
    if not _one_claim(answer, gold) or (wanted is not None and _unevaluated(answer)):
        return False
    parsed = [math_verify.parse(f"${text}$", parsing_timeout=None) for text in (gold, answer)]  # None: no alarm of its
    return bool(parsed[0]) and bool(math_verify.verify(*parsed, timeout_seconds=None))  # own, it needs the main thread


def _without_unit(text: str) -> str:
    """Return a formula without the unit words after it, however many."""
    words = text.split()
    for start in range(1, len(words)):
        if all(len(word) > 1 and word.isalpha() for word in words[start:]) and is_unit(" ".join(words[start:])):
            return " ".join(words[:start])
    return text


def _is_text(gold: str) -> bool:
    """Return whether a gold answer is words, such as Monday: as a formula, any order of the letters would do."""
    words = gold.split()
    return bool(words) and all(len(word) > 3 and word.isalpha() for word in words)


def _several(gold: str) -> bool:
    """Return whether a gold answer lists values: a set, or words between them."""
    return re.search(r",|\\\{|\bor\b|\band\b", gold) is not None and not _RELATION.search(gold)


def _one_claim(answer: str, gold: str) -> bool:
    """Return whether an answer has no relation and no words but those that a gold answer of its kind has."""
    letters = set(gold)
    if _RELATION.search(answer) and not _RELATION.search(gold) and gold[:1] not in ("(", "["):
        return False
    return all(
        word.lower() in _FUNCTIONS or set(word) <= letters or (_several(gold) and word in ("or", "and"))
        for word in _WORD.findall(answer)
    )


def _unevaluated(answer: str) -> bool:
    """Return whether an answer is arithmetic on numerals that is left to do; p/q is none.

    >>> [_unevaluated(t) for t in ("0.25+0.25", "2^{-1}", "-\\\\frac{1}{2}", "\\\\frac{\\\\sqrt{4}}{4}")]
    [True, True, False, False]
    """
    numerals = not re.search(r"[a-zA-Z]", answer.replace("\\frac", ""))
    return numerals and bool(re.search(r"[+*^!]|(?<=[0-9)}])\s*-", answer))
