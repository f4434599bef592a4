"""Expected calibration error, and the table that a reliability diagram draws."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlvr.core.errors import DataError
from rlvr.measure.metrics.pairs import as_pairs, ratio, sums_by

Mode = Literal["width", "mass"]


class ReliabilityTable(NamedTuple):
    """Hold one row per bin, each field of shape (B,); NaN where the bin is empty.

    `low` and `high` bound the accuracy (Wilson score interval with the effective sample size of the bin).
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    n: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def bin_edges(confidence_S: NDArray[np.float64], bins: int, mode: Mode = "width") -> NDArray[np.float64]:
    """Return ascending edges from 0 to 1: B bins of equal width, or of equal mass (fewer where values tie).

    >>> bin_edges(np.array([0.1, 0.2, 0.9, 1.0]), 2, "mass")
    array([0.  , 0.55, 1.  ])
    """
    if bins < 1 or mode not in ("width", "mass"):
        raise DataError(f"Calibration needs bins >= 1 and mode 'width' or 'mass'; found bins={bins}, mode={mode!r}.")
    steps = np.arange(bins + 1) / bins  # i / B is the float that "0.3" parses to; linspace is off by one ulp
    if mode == "width" or not confidence_S.size:
        return steps
    inner = np.unique(np.quantile(confidence_S, steps[1:-1]))
    return np.concatenate([[0.0], inner[(inner > 0) & (inner < 1)], [1.0]])


def bin_index(confidence_S: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each confidence: [left, right), the last one [left, 1], so 0.0 and 1.0 have a bin.

    >>> bin_index(np.array([0.0, 0.3, 1.0]), bin_edges(np.zeros(1), 10))
    array([0, 3, 9])
    """
    return np.searchsorted(edges[1:-1], confidence_S, side="right")


def ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    bins: int = 10,
    mode: Mode = "width",
    weights: ArrayLike | None = None,
):
    """Return the expected calibration error, the mean gap between confidence and accuracy within bins.

        ECE = sum_b n_b / N |mean confidence_b - accuracy_b|     in [0, 1], lower is better

    Biased upwards on finite data: a perfectly calibrated model shows about 0.03 with 1,000 pairs, so compare
    models at equal n, and see `ece_debiased` in `summarise_eval`. A constant equal to the accuracy has ECE 0:
    read it beside AUROC or the Brier skill.

    Args:
        confidence: shape (S,), in [0, 1].
        correct: shape (S,), 0 or 1.
        bins: number of bins.
        mode: "width" for equal-width bins, "mass" for bins of equal counts (equal confidences never part).
        weights: None, (S,) or (R, S); with R rows the result has shape (R,). Edges ignore the weights.

    NaN without pairs. Errors as in `as_pairs`. Source: 1706.04599; the bias: 2012.08668.

    >>> round(float(ece([0.0, 0.9, 1.0, 1.0], [0, 1, 1, 0])), 3)
    0.225
    """
    q_S, y_S, w = as_pairs(confidence, correct, weights)
    (gaps,) = sums_by(bin_index(q_S, bin_edges(q_S, bins, mode)), w, q_S - y_S)
    return ratio(np.abs(gaps).sum(-1), w.sum(-1))


def reliability_table(
    confidence: ArrayLike,
    correct: ArrayLike,
    problem: ArrayLike | None = None,
    bins: int = 10,
    mode: Mode = "width",
) -> ReliabilityTable:
    """Return count, mean confidence and accuracy with a 95% interval for each bin of a reliability diagram.

    The interval is Wilson's at the effective sample size p(1-p)/v, where v is the variance of the bin's
    accuracy between problems (ratio estimator); where that is 0, as in a bin that is all right, it is the
    number of problems. Samples of one problem are not independent: counting them makes the bars too short.

    Args:
        problem: shape (S,), which problem each pair belongs to; None takes every pair as its own problem.

    Errors as in `as_pairs`. Source: Wilson 1927; effective size: Korn and Graubard 1998.

    >>> table = reliability_table([0.1, 0.9, 0.9], [0, 1, 0], bins=2)
    >>> table.n, table.accuracy
    (array([1, 2]), array([0. , 0.5]))
    """
    q_S, y_S, w_S = as_pairs(confidence, correct)
    q_S, y_S = q_S[w_S > 0], y_S[w_S > 0]  # without pairs, drop the placeholder of weight 0
    problem_S = np.arange(q_S.size) if problem is None else np.asarray(problem)
    edges = bin_edges(q_S, bins, mode)
    bin_S = bin_index(q_S, edges)
    rows = [_bin(q_S[bin_S == b], y_S[bin_S == b], problem_S[bin_S == b]) for b in range(len(edges) - 1)]
    count, mean, accuracy, low, high = (np.array(column) for column in zip(*rows, strict=True))
    return ReliabilityTable(edges[:-1], edges[1:], count, mean, accuracy, low, high)


def _bin(
    q_S: NDArray[np.float64], y_S: NDArray[np.float64], problem_S: NDArray
) -> tuple[int, float, float, float, float]:
    """Return count, mean confidence, accuracy and its interval for the pairs of one bin."""
    if not q_S.size:
        return 0, np.nan, np.nan, np.nan, np.nan
    accuracy = float(y_S.mean())
    (residuals,) = sums_by(np.unique(problem_S, return_inverse=True)[1], np.ones_like(y_S), y_S - accuracy)
    problems = residuals.size
    variance = (residuals**2).sum() / q_S.size**2 * problems / max(1, problems - 1)
    varies = variance > 1e-12  # not > 0: one problem, or equal rates, leave rounding noise
    size = min(q_S.size, accuracy * (1 - accuracy) / variance) if varies else problems
    low, high = wilson(accuracy, size)
    return q_S.size, float(q_S.mean()), accuracy, low, high


def wilson(rate: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return Wilson's score interval for a rate seen in n independent trials, n > 0; z = 1.96 for 95%.

    >>> [round(x, 4) for x in wilson(0.0, 10)]
    [0.0, 0.2775]
    """
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))
