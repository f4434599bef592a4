"""The utility itself as a reward: what acting on the stated confidence earns at given prices (a control arm)."""

from rlvr import Completion


def utility(c: Completion, *, right: float = 1, abstain: float = 0, wrong: float = -1) -> float | None:
    """Return (u - wrong) / (right - wrong), with u the utility of answering when the stated confidence q says so.

        u = right or wrong, as it turned out,  if q >= (abstain - wrong) / (right - wrong),  else abstain

    Range [0, 1]. None: the verifier failed. Missing: no readable confidence or a bad format is worth a wrong
    answer. It asks for the right *side* of the threshold and nothing more (weakly proper): an abstaining answer
    earns the same right or wrong, so there it teaches neither the answer nor an honest q. It is here to be compared
    with `brier` and `rlvr decide utility`, which applies the same prices after training
    (docs/findings/utility_after.md).
    Raises ValueError unless wrong <= abstain <= right and wrong < right.
    Source: the "aligned learning premise" that 2511.07699 tests.

    >>> from rlvr.core.records import Problem
    >>> sure = Completion(Problem("1", [], "4"), "", answer="4", confidence=0.9, format_ok=True, correct=True)
    >>> utility(sure, wrong=-5)
    1.0
    """
    if not wrong <= abstain <= right or wrong == right:
        raise ValueError(f"utility needs wrong <= abstain <= right and wrong < right, got {wrong}, {abstain}, {right}")
    if c.correct is None:
        return None
    if c.confidence is None or not c.format_ok:
        return 0.0
    threshold = (abstain - wrong) / (right - wrong)
    if c.confidence < threshold:
        return threshold
    return float(c.correct)
