"""Check a problem set: gold answers must pass its own verifier, absurd ones must not."""

from collections.abc import Sequence

from rlvr.core.answer_format import DEFAULT, AnswerFormat
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
    verifier, failures = Verifier(data, patience=0), []
    try:
        for split in dict.fromkeys(data.split(split) for split in splits):
            for problem in data.load(split, size, seed):
                gold = data.gold(problem)
                if answers.place is not None and answers.parse(answers.write("", gold, 0.5)).answer != gold.strip():
                    failures.append(f"{problem.id}: the answer {gold!r} cannot be given in the form {str(answers)!r}")
                for text, wanted in ((gold, True), ("", False), ("certainly not this", False)):
                    verifier.errors.clear()
                    verdict = verifier.verify_many([(text, problem.answer)])[0]
                    if verdict is not wanted:
                        found = next(iter(verifier.errors), verdict)
                        failures.append(
                            f"{problem.id}: verify({text!r}, {problem.answer!r}) gave {found!r}, not {wanted}"
                        )
    finally:
        verifier.close()
    return failures
