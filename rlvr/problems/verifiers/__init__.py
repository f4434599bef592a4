"""Compare an answer with the gold one, in the way that a row of data asks for: one file for each way.

exact       the same text; case and outer white space ignored
qa          the same words, as question answering compares them; any alias will do (SQuAD, TriviaQA)
number      the same decimal number and nothing else
math        a form of the gold number, or a formula that math-verify calls the same
published   the last number of the answer, as published GSM8K results are computed; for measuring only
choice      one option of several, by its letter or its text
code        a program that passes the row's tests, run in a sandbox; off unless RLVR_RUN_CODE=1
FILE.py:f   f(answer, gold) of your own
"""

from collections.abc import Callable, Mapping
from typing import Any

from rlvr.core import specs
from rlvr.core.errors import SpecError, did_you_mean
from rlvr.problems.math_answers import same_answer
from rlvr.problems.verifiers.choice import same_option
from rlvr.problems.verifiers.code import passes_tests
from rlvr.problems.verifiers.number import same_decimal, same_last_number
from rlvr.problems.verifiers.text import same_text, same_words

LONGEST = 1000  # characters of a number or formula
_VERIFIERS: dict[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "exact": lambda answer, gold: same_text(answer, gold["text"]),
    "qa": lambda answer, gold: any(same_words(answer, text) for text in (gold["text"], *gold.get("aliases", ()))),
    "number": lambda answer, gold: len(answer) <= LONGEST and same_decimal(answer, gold["text"]),
    "math": lambda answer, gold: len(answer) <= LONGEST and same_answer(answer, gold["text"]),
    "published": lambda answer, gold: same_last_number(answer, gold["text"]),
    "choice": lambda answer, gold: same_option(answer, gold["text"], gold["options"]),
    "code": lambda answer, gold: passes_tests(answer, gold["tests"]),
}
NAMES = tuple(_VERIFIERS)


def verify_answer(answer: str, gold: Mapping[str, Any]) -> bool:
    """Return whether `answer` is right, as gold["verifier"] says; an empty answer never is.

    `gold` holds the gold answer as "text", and what its verifier needs beside it: "aliases" (qa), "options" (choice),
    "tests" (code). It must be judged in a worker process: math may hang, code runs the candidate's program.

    >>> verify_answer(" Paris ", {"text": "paris", "verifier": "exact"})
    True
    >>> verify_answer("(b)", {"text": "B", "options": ["red", "blue"], "verifier": "choice"})
    True
    """
    name = str(gold["verifier"])
    return bool(answer.strip()) and bool(verifier_function(name)(answer, gold))


def verifier_function(name: str) -> Callable[[str, Mapping[str, Any]], Any]:
    """Return what compares an answer with a gold mapping, by its name or as path.py:function.

    Raises SpecError for a name that nothing has ("did you mean") and for a file without that function.
    """
    if name in _VERIFIERS:
        return _VERIFIERS[name]
    path, _, attribute = name.rpartition(":")
    if not path.endswith(".py"):
        raise SpecError(did_you_mean("verifier", name, NAMES, "Or a function of yours: path.py:function."))
    function = getattr(specs.import_file("data", path), attribute, None)
    if not callable(function):
        raise SpecError(f"{path} has no function {attribute!r} to verify answers with.")
    return lambda answer, gold: function(answer, gold["text"])
