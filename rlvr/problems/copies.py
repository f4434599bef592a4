"""Try answers that solve nothing on a problem set's verifier: what it accepts, a policy will learn to write."""

import re
from collections.abc import Sequence

from rlvr.core.records import Problem
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier

# Arithmetic that a prompt asks for, such as 6 * 7; a fraction or a number may be its own answer.
_EXPRESSION = re.compile(r"[0-9(][0-9+*×÷/^().\s-]*[+*×^-][0-9+*×÷/^().\s-]*[0-9)]")


def paid_copies(data: str | ProblemSet, splits: Sequence[str], size: int, seed: int) -> list[str]:
    """Return which answers were accepted although they solve nothing, one line for each kind and split; none is best.

    Tried for each of up to `size` problems per split: the prompt, the arithmetic in it, the worked solution's whole
    text, and the right answer among others. A set whose verifier takes the last number of a text, for example, fails.

    >>> paid_copies("arithmetic", ("train",), 20, 0)
    []
    """
    data = ProblemSet.of(data)
    verifier, found = Verifier(data, patience=0), []
    try:
        for split in dict.fromkeys(data.split(split) for split in splits):
            problems = data.load(split, size, seed)
            golds = list(dict.fromkeys(data.gold(problem) for problem in problems))
            paid: dict[str, list[tuple[str, str]]] = {}
            for problem in problems:
                tries = copies(problem, data, golds)
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
