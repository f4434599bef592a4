"""1 up to a target length, then falling to 0: a soft limit on tokens."""

from rlvr import Completion


def length(c: Completion, *, target: float = 64, slack: float = 64) -> float | None:
    """Return 1 for n <= target tokens, then 1 - (n - target) / slack, and 0 from target + slack on.

    Range [0, 1]; `target` and `slack` in sampled tokens. Shorter than the target earns nothing more. None:
    the number of tokens is not known. Missing: a bad format is worth 0, so leaving parts out does not pay.
    Keep its weight below that of `correct`: it does not look at being right.
    Raises ValueError unless target >= 0 and slack > 0.
    Source: the soft overlong punishment of DAPO, 2503.14476, moved into [0, 1].

    >>> from rlvr.core.records import Problem
    >>> length(Completion(Problem("1", [], "4"), "", format_ok=True, n_tokens=96))
    0.5
    """
    if not (target >= 0 and slack > 0):
        raise ValueError(f"length needs target >= 0 and slack > 0, got target={target}, slack={slack}")
    if not c.n_tokens:  # a sampled completion has at least its end token
        return None
    if not c.format_ok:
        return 0.0
    return min(1.0, max(0.0, 1 - (c.n_tokens - target) / slack))
