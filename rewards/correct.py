"""1 for a right answer, 0 for a wrong one: the verifiable reward itself."""

from rlvr import Completion


def correct(c: Completion) -> float | None:
    """Return y, 1 if the verifier accepted the answer and 0 if not.

    Range {0, 1}. None: the verifier failed. Missing: without an answer there is nothing to accept, so 0; bad
    format around a readable answer costs nothing here (weigh `format` for that).
    Source: DeepSeek-R1, 2501.12948; correctness alone cannot be gamed (2607.04332).

    >>> from rlvr.core.records import Problem
    >>> correct(Completion(Problem("1", [], "4"), "", answer="4", correct=True))
    1.0
    """
    return None if c.correct is None else float(c.correct)
