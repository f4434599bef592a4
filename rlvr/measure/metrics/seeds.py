"""Runs over seeds: a robust mean, paired differences over seeds and problems, and many comparisons at once."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean, ttest_1samp

from rlvr.core.errors import DataError
from rlvr.measure.metrics.arrays import EvalArrays
from rlvr.measure.metrics.bootstrap import ROUNDING, Interval, difference, mean_defined, resampled_interval
from rlvr.measure.metrics.pairs import ratio
from rlvr.measure.metrics.statistics import UPWARD_BIASED, calibration


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
    gap_SP = difference(ours, theirs)
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
    return Interval(value, float(low), float(high), n=P), _p_value(found_R, float(np.abs(gap_SP).max()))


def t_interval(values_S: ArrayLike, level: float = 0.95) -> tuple[Interval, float]:
    """Return the mean of one value per seed with its t interval, and the two-sided p-value of a mean of 0.

    mean +- t(S - 1, (1 + level) / 2) sd / sqrt(S), sd with S - 1. For differences of two arms, give one difference per
    seed. Over few seeds it covers what it says, where a percentile bootstrap is too narrow (5 seeds: 84%). One seed has
    no interval (NaN bounds and p); seeds that all agree have an interval of no width, and p = 0 unless the mean is 0.

    >>> found, p = t_interval([0.02, 0.05, 0.03, 0.06])
    >>> f"{found}, p = {p:.3f}"
    '0.040 [0.011, 0.069], p = 0.022'
    """
    values = np.asarray(values_S, dtype=float)
    if values.ndim != 1 or not values.size:
        raise DataError(f"A t interval over seeds takes one value per seed, got values of shape {values.shape}.")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, np.nan, np.nan, 1), np.nan
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        return Interval(mean, mean, mean, len(values)), float(mean == 0)
    test = ttest_1samp(values, 0)
    low, high = test.confidence_interval(level)
    return Interval(mean, float(low), float(high), len(values)), float(test.pvalue)


def _p_value(found_R: NDArray[np.float64], scale: float) -> float:
    """Return 2 min(P(d <= 0), P(d >= 0)), at least 2 / (R + 1); what is 0 but for rounding counts on both sides."""
    found_R = found_R[~np.isnan(found_R)]
    rounding = ROUNDING * scale
    tail = min((found_R <= rounding).sum(), (found_R >= -rounding).sum())
    return min(1.0, 2 * (int(tail) + 1) / (len(found_R) + 1))


def seed_calibration(
    ours: Sequence[EvalArrays],
    theirs: Sequence[EvalArrays] = (),
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return ECE, Brier, AUROC and the rest of `statistics.calibration`, averaged over seeds, minus those of others.

    For metrics that are no mean over problems, and so have no values for `seed_difference`: one `EvalArrays` per seed,
    all of the same problems in the same order. Each resample draws S seeds and P problems with replacement, crossed; a
    metric is taken within each seed and then averaged. Without `theirs` the averages themselves. Intervals as in
    `bootstrap_counts`: basic where noise pushes one way. A seed where a metric does not exist is left out of it.

    Raises DataError when the two sides differ in seeds, or any in problems. Source: crossed bootstrap, Owen 2007.

    >>> sample = {"answer": "4", "tokens": 9, "logp": -1.0, "format_ok": True, "truncated": False, "correct": True}
    >>> sure, unsure = (EvalArrays.of({"problems": [{"task": "t", "samples": [{**sample, "confidence": q}]}]})
    ...                 for q in (1.0, 0.5))
    >>> seed_calibration([sure], [unsure])["brier"].value
    -0.25
    """
    return {name: gap for name, (gap, _) in seed_calibration_tests(ours, theirs, n_resamples, level, seed).items()}


def seed_calibration_tests(
    ours: Sequence[EvalArrays],
    theirs: Sequence[EvalArrays] = (),
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[Interval, float]]:
    """Return what `seed_calibration` does, each with its two-sided p-value as in `seed_difference`.

    The p-value reads the percentile resamples: for a metric that noise pushes one way, such as ECE, use the interval.
    """
    sides = [list(ours), list(theirs)] if theirs else [list(ours)]
    if not ours or any(len(side) != len(ours) for side in sides):
        raise DataError(f"Both sides need the same seeds, at least one; got {len(ours)} and {len(theirs)}.")
    P, S = ours[0].n_problems, len(ours)
    if any(arrays.tasks != ours[0].tasks for side in sides for arrays in side):
        raise DataError("Every seed of both sides must be measured on the same problems in the same order.")
    draw = np.random.default_rng(seed)
    seeds_RS = draw.multinomial(S, np.full(S, 1 / S), n_resamples)
    problems_RP = draw.multinomial(P, np.full(P, 1 / P), n_resamples)

    def gaps(counts_RP: NDArray) -> dict[str, NDArray[np.float64]]:
        """Return name -> values (S, R): the metric of each seed at each resample of the problems."""
        by_seed = [[_in_chunks(arrays, counts_RP) for arrays in side] for side in sides]
        stacked = [{k: np.stack([of_seed[k] for of_seed in side]) for k in by_seed[0][0]} for side in by_seed]
        return {k: difference(stacked[0][k], stacked[1][k]) if theirs else stacked[0][k] for k in stacked[0]}

    values, resampled = gaps(np.ones((1, P))), gaps(problems_RP)
    return {
        name: _crossed(values[name][:, 0], gap_SR, seeds_RS, level, name in UPWARD_BIASED, P)
        for name, gap_SR in resampled.items()
    }


def _in_chunks(arrays: EvalArrays, counts_RP: NDArray) -> dict[str, NDArray[np.float64]]:
    parts = [calibration(arrays, counts_RP[i : i + 100].astype(float)) for i in range(0, len(counts_RP), 100)]
    return {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]}


def _crossed(
    value_S: NDArray, gap_SR: NDArray, seeds_RS: NDArray, level: float, basic: bool, n: int
) -> tuple[Interval, float]:
    """Return interval and p-value of a metric from its values by seed and resample of problems, and the seeds drawn."""
    known_RS = seeds_RS * ~np.isnan(gap_SR.T)
    found_R = ratio((known_RS * np.nan_to_num(gap_SR.T)).sum(1), known_RS.sum(1))
    value = float(mean_defined(value_S, np.ones((1, len(value_S))))[0])
    scale = float(np.abs(np.nan_to_num(gap_SR)).max())
    return resampled_interval(value, found_R, n, level, basic), _p_value(found_R, scale)


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
