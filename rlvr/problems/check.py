"""Check a problem set: gold answers must pass its own verifier, absurd ones must not."""

from collections.abc import Sequence

from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier


def check(data: str | ProblemSet, splits: Sequence[str], size: int, seed: int) -> list[str]:
    """Return what is wrong with a set: gold answers that its verifier refuses, empty or absurd answers that it accepts.

    Answers are judged as they are during training, under the time limit: a verifier that hangs is a finding.

    >>> check("arithmetic", ("train", "test"), 20, 0)
    []
    """
    data = ProblemSet.of(data)
    verifier, failures = Verifier(data, patience=0), []
    try:
        for split in dict.fromkeys(data.split(split) for split in splits):
            for problem in data.load(split, size, seed):
                for text, wanted in ((data.gold(problem), True), ("", False), ("certainly not this", False)):
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
