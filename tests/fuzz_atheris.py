"""Coverage-guided fuzzing of the parser, of every form of answer and of every verifier: python -m tests.fuzz_atheris -runs=100000 (libFuzzer's flags).

libFuzzer ends the process where an input raises or takes longer than its -timeout. Inputs that take a new branch are kept
and varied.
"""

import sys
from types import FunctionType, ModuleType

import atheris

from rlvr.core import answer_format, answer_places, specs
from rlvr.core import parse as parser
from tests.hostile_text import verifiers

SETS = ("arithmetic", "countdown", "gsm8k", "jsonl")
FORMS = [
    answer_format.AnswerFormat.of(spec)
    for spec in (
        "boxed(confidence='tag')", "last_number(confidence='line')", "tags(thinking='native')",
        "regex(pattern='#### (.+)', thinking='tags')",
    )
]  # fmt: skip


def watch(module: ModuleType) -> None:
    """Count the branches of every function that the module defines."""
    for function in vars(module).values():
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            atheris.instrument_func(function)  # in place: it changes the function's code


def one_input(data: bytes) -> None:
    """Parse a text and give it, and its answer, to every verifier."""
    text = data.decode("utf-8", "surrogateescape")
    answer = parser.parse(text, parser.TAGS).answer
    for form in FORMS:
        for end in (None, "<think>"):
            read = form.parse(text, end)
            if read.format_ok and read.answer is None:
                raise ValueError(f"{form} calls a completion without an answer well formed")
    for name, verify in VERIFIERS:
        for candidate in (text, answer):
            if candidate is not None and verify(candidate) not in (True, False):
                raise TypeError(f"{name} returned no bool")


if __name__ == "__main__":
    VERIFIERS = verifiers()
    for module in (parser, answer_format, answer_places, *(specs.import_file("data", name) for name in SETS)):
        watch(module)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
