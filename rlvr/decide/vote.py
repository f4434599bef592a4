"""Judge one answer chosen out of n samples, on a stored evaluation."""

from collections.abc import Sequence

from rlvr.core.errors import DataError
from rlvr.decide.source import EvalSource, eval_contents
from rlvr.measure.metrics import Interval, vote_curve


def vote_eval(
    eval: EvalSource, ns: Sequence[int] | None = None, confidence: str = "stated"
) -> dict[str, dict[int, Interval]]:
    """Return rule -> n -> accuracy of one answer out of n samples, as `rlvr decide vote` prints it.

    The rules, `ns`, `confidence` and their errors are those of `rlvr.measure.metrics.vote_curve`; `eval` is what
    `decide_eval` takes. Accuracy is in [0, 1], with 95% intervals over problems. Raises DataError where no sample has
    a verdict.

    >>> sample = {"correct": False, "confidence": 0.2, "answer": "4", "tokens": 9, "logp": -1.0}
    >>> right = {**sample, "correct": True, "confidence": 0.9, "answer": "5"}
    >>> votes = vote_eval({"problems": [{"samples": [sample, sample, right]}]}, [3])
    >>> votes["majority"][3].value, votes["confidence-weighted vote"][3].value
    (0.0, 1.0)
    """
    curve = vote_curve(eval_contents(eval), ns, confidence)
    if not curve:
        raise DataError("No sample of this evaluation has a verdict, so no vote can be judged. Measure again.")
    return curve
