"""Right, "I don't know", wrong: three prices, mapped to [0, 1]."""

from rlvr import Completion

PHRASES = ("i don't know", "i do not know")


def abstain(c: Completion, *, right: float = 1, abstain: float = 0, wrong: float = -1) -> float | None:
    """Return (price - wrong) / (right - wrong), with the price of a right, an abstaining or a wrong answer.

    Abstaining pays when P(right) < (abstain - wrong) / (right - wrong), 1/2 at the default prices.
    Range [0, 1]. None: the verifier failed. Missing: an empty or missing answer, or a bad format around an
    abstention, is worth a wrong answer: only a well-formed "I don't know" (or "I do not know", any case, with
    or without a full stop) abstains. Raises ValueError unless wrong <= abstain <= right and wrong < right.
    Source: TruthRL, 2509.25760.

    >>> from rlvr.core.records import Problem
    >>> abstain(Completion(Problem("1", [], "4"), "", answer="I don't know", format_ok=True))
    0.5
    """
    if not wrong <= abstain <= right or wrong == right:
        raise ValueError(f"abstain needs wrong <= abstain <= right and wrong < right, got {wrong}, {abstain}, {right}")
    if c.correct is None:
        return None
    said = (c.answer or "").strip().removesuffix(".").casefold().replace("\u2019", "'")
    price = right if c.correct else abstain if c.format_ok and said in PHRASES else wrong
    return (price - wrong) / (right - wrong)
