"""A coin that knows nothing: the control arm that every reward should beat."""

import hashlib

from rlvr import Completion


def random_control(c: Completion, *, seed: int = 0) -> float:
    """Return a number in [0, 1) that looks uniform, from a SHA-256 of (seed, problem id, text).

    The same completion always gets the same number, in every process, so there is no state to resume.
    Range [0, 1). Never None. Missing: costs nothing, as nothing that is said counts here.
    Source: spurious rewards as a control, 2506.10947.

    >>> from rlvr.core.records import Problem
    >>> c = Completion(Problem("1", [], "4"), "any text")
    >>> 0 <= random_control(c) < 1 and random_control(c) == random_control(c) != random_control(c, seed=1)
    True
    """
    key = repr((seed, c.problem.id, c.text)).encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(key).digest()[:6], "big") / 2**48
