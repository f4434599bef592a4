"""Try answers that solve nothing, in a form of answer, on a verifier: what it accepts, a policy will learn to write."""

import re
from collections.abc import Sequence

from rlvr.core.answer_format import DEFAULT, AnswerFormat
from rlvr.core.answer_places import LastNumber
from rlvr.core.records import Problem
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier

# Arithmetic that a prompt asks for, such as 6 * 7; a fraction or a number may be its own answer.
_EXPRESSION = re.compile(r"[0-9(][0-9+*×÷/^().\s-]*[+*×^-][0-9+*×÷/^().\s-]*[0-9)]")


def paid_copies(
    data: str | ProblemSet,
    splits: Sequence[str],
    size: int,
    seed: int,
    answers: AnswerFormat | str | Sequence[str] = DEFAULT,
) -> list[str]:
    """Return which answers were accepted although they solve nothing, one line for each kind and split; none is best.

    Tried for each of up to `size` problems per split: the prompt, the arithmetic in it, the worked solution's whole
    text, and the right answer among others, each as the answer; and replies that are the prompt, or several answers
    one after the other in the form `answers`. A set whose verifier takes the last number of a text, for example, fails.

    >>> paid_copies("arithmetic", ("train",), 20, 0)
    []
    """
    data, answers = ProblemSet.of(data), AnswerFormat.of(answers)
    verifier, found = Verifier(data, patience=0), []
    try:
        for split in dict.fromkeys(data.split(split) for split in splits):
            problems = data.load(split, size, seed)
            golds = list(dict.fromkeys(data.gold(problem) for problem in problems))
            paid: dict[str, list[tuple[str, str]]] = {}
            for problem in problems:
                tries = [(kind, text) for kind, text in copies(problem, data, golds) if _is_copy(kind, answers)]
                if answers.place is not None:  # what the form makes of such an answer
                    tries = [(kind, answers.parse(answers.write("", text, 0.5)).answer or "") for kind, text in tries]
                tries += [
                    (kind, answers.parse(text).answer or "") for kind, text in replies(problem, data, golds, answers)
                ]
                verdicts = verifier.verify_many([(text, problem.answer) for _, text in tries])
                for (kind, text), verdict in zip(tries, verdicts, strict=True):
                    if verdict is True:
                        paid.setdefault(kind, []).append((problem.id, text))
            found += [
                f"{split}: {kind} is paid in {len(cases)} of {len(problems)} problems, as in {cases[0][0]}: "
                f"{' '.join(cases[0][1].split())!r:.100}"
                for kind, cases in paid.items()
            ]
    finally:
        verifier.close()
    return found


def copies(problem: Problem, data: ProblemSet, golds: Sequence[str]) -> list[tuple[str, str]]:
    """Return (kind, answer) for each answer that solves nothing; `golds` are what other problems of the set want."""
    gold, prompt = data.gold(problem), problem.prompt[-1]["content"]
    others = [other for other in golds if other.strip().casefold() != gold.strip().casefold()][:4]
    tries = [("the prompt", prompt)]
    tries += [("the arithmetic in the prompt", match[0]) for match in _EXPRESSION.finditer(prompt)]
    if data.solution:
        tries.append(("the worked solution's whole text", data.solution(problem)))
    for other in others[:1]:
        tries += [
            ("two answers, the right one first", f"{gold} or {other}"),
            ("two answers, the right one last", f"{other} or {gold}"),
            ("two answers on two lines", f"{other}\n{gold}"),
        ]
    if others:
        tries.append(("a list of guesses", ", ".join([*others, gold])))
    return [(kind, text) for kind, text in tries if text.strip().casefold() != gold.strip().casefold()]


_ENDS_WRONG = ("the arithmetic in the prompt", "two answers, the right one first")


def _is_copy(kind: str, answers: AnswerFormat) -> bool:
    """Return whether to try this kind as an answer in this form: a text that ends in the right number states it there.

    And whether a last number's text is called the answer or the reply makes no difference, so it is tried as a reply.
    """
    return not isinstance(answers.place, LastNumber) or kind in _ENDS_WRONG


def replies(problem: Problem, data: ProblemSet, golds: Sequence[str], answers: AnswerFormat) -> list[tuple[str, str]]:
    """Return (kind, whole reply) for each reply that solves nothing; the last answer of a reply is a wrong one."""
    gold = data.gold(problem)
    others = [other for other in golds if other.strip().casefold() != gold.strip().casefold()][:4]
    found = [("the prompt as the whole reply", problem.prompt[-1]["content"])]
    for kind, guesses in (
        ("two answers one after the other, the right one first", [gold, *others[:1]]),
        ("guesses one after the other, the right one not the last", [*others[1:], gold, *others[:1]]),
    ):
        if others:
            found.append((kind, "\n".join(answers.write("", guess, 0.5) for guess in guesses)))
    return found
