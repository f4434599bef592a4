"""Runs over seeds: a robust mean, paired differences over seeds and problems, and many comparisons at once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

from rlvr.errors import DataError
from rlvr.metrics.bootstrap import Interval


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of the values over seeds (2108.13264): one lucky seed does not carry it.

    SciPy's trimmed mean, a quarter off each end (rounded down, so up to three values are averaged whole).

    >>> interquartile_mean([0.0, 0.4, 0.6, 9.0])
    0.5
    """
    return float(trim_mean(np.asarray(values, dtype=float), 0.25))


def seed_difference(
    ours_SP: ArrayLike, theirs_SP: ArrayLike, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[Interval, float]:
    """Return the mean difference ours - theirs with an interval over seeds *and* problems, and its two-sided p-value.

    Values are (S, P): seed s of both arms, the same problem p. Both are resampled, crossed: each resample draws S seeds
    and P problems with replacement, so the interval covers a new training run on new problems. NaN values are left out.
    p = 2 min(P(d <= 0), P(d >= 0)) over the resamples, at least 2 / (R + 1). Few seeds make both optimistic: with S = 3
    one resample in nine holds a single seed; read such intervals as a lower bound of the uncertainty.

    Raises DataError when the shapes differ or are empty. Source: crossed bootstrap, Owen 2007.

    >>> str(seed_difference([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]])[0])
    '1.000 [1.00, 1.00]'
    """
    ours, theirs = np.asarray(ours_SP, dtype=float), np.asarray(theirs_SP, dtype=float)
    if ours.shape != theirs.shape or ours.ndim != 2 or not ours.size:
        raise DataError(
            f"Paired arms need the same seeds and problems, got values of shape {ours.shape}, {theirs.shape}."
        )
    gap_SP = ours - theirs
    known_SP, gap_SP = ~np.isnan(gap_SP), np.nan_to_num(gap_SP)
    draw = np.random.default_rng(seed)
    S, P = gap_SP.shape
    seeds_RS = draw.multinomial(S, np.full(S, 1 / S), n_resamples)
    problems_RP = draw.multinomial(P, np.full(P, 1 / P), n_resamples)
    with np.errstate(invalid="ignore"):
        found_R = _weighted(seeds_RS, gap_SP, problems_RP) / _weighted(seeds_RS, known_SP, problems_RP)
        value = float(gap_SP.sum() / known_SP.sum())
    found_R = found_R[~np.isnan(found_R)]
    low, high = np.quantile(found_R, [(1 - level) / 2, (1 + level) / 2]) if len(found_R) else (np.nan, np.nan)
    tail = min((found_R <= 0).sum(), (found_R >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (len(found_R) + 1))
    return Interval(value, float(low), float(high), n=P), p


def _weighted(seeds_RS: NDArray, values_SP: NDArray, problems_RP: NDArray) -> NDArray[np.float64]:
    return np.einsum("rs,sp,rp->r", seeds_RS, values_SP.astype(float), problems_RP, optimize=True)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values: the chance of any false finding among all of them stays below the level.

    The i-th smallest of m is multiplied by m - i + 1, and none falls below an earlier one (Holm 1979).

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted: dict[str, float] = {}
    worst = 0.0
    for i, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        worst = max(worst, min(1.0, (len(p_values) - i) * p_values[name]))
        adjusted[name] = round(worst, 12)
    return {name: adjusted[name] for name in p_values}
