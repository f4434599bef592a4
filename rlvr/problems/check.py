"""Check a problem set: gold answers must pass its own verifier, absurd ones must not."""

from collections.abc import Sequence

from rlvr.core.answer_format import DEFAULT, AnswerFormat
from rlvr.core.records import Problem
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier


def check(
    data: str | ProblemSet,
    splits: Sequence[str],
    size: int,
    seed: int,
    answers: AnswerFormat | str | Sequence[str] = DEFAULT,
) -> list[str]:
    """Return what is wrong with a set: gold answers that its verifier refuses, empty or absurd answers that it accepts.

    Answers are judged as they are during training, under the time limit: a verifier that hangs is a finding. So is a
    gold answer that cannot be given in the form `answers`, unless that is tags, which hold any text.

    >>> check("arithmetic", ("train", "test"), 20, 0)
    []
    """
    data, answers = ProblemSet.of(data), AnswerFormat.of(answers)
    names = dict.fromkeys(data.split(split) for split in splits)
    problems = [problem for split in names for problem in data.load(split, size, seed)]
    return [*_misjudged(data, problems), *_unwritable(data, problems, answers)]


def _misjudged(data: ProblemSet, problems: Sequence[Problem]) -> list[str]:
    """Return the problems whose gold answer is refused, or an empty or absurd one accepted."""
    verifier, failures = Verifier(data, patience=0), []
    try:
        for problem in problems:
            for text, wanted in ((data.gold(problem), True), ("", False), ("certainly not this", False)):
                verifier.errors.clear()
                verdict = verifier.verify_many([(text, problem.answer)])[0]
                if verdict is not wanted:
                    got = next(iter(verifier.errors), verdict)
                    failures.append(f"{problem.id}: verify({text!r}, {problem.answer!r}) gave {got!r}, not {wanted}")
    finally:
        verifier.close()
    return failures


def _unwritable(data: ProblemSet, problems: Sequence[Problem], answers: AnswerFormat) -> list[str]:
    """Return the problems whose gold answer the form cannot hold; tags hold any text."""
    if answers.place is None:
        return []
    return [
        f"{problem.id}: the answer {gold!r} cannot be given in the form {str(answers)!r}"
        for problem in problems
        if answers.parse(answers.write("", gold := data.gold(problem), 0.5)).answer != gold.strip()
    ]
