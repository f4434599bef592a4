"""Intervals by bootstrap over problems: samples of one problem are not independent, problems are."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlvr.core.errors import DataError
from rlvr.measure.metrics.pairs import ratio

Values = Mapping[str, NDArray[np.float64]]  # name -> one value per resample, shape (R,)

# What rounding leaves of a difference that is 0, relative to what was subtracted: a sum of 10^4 numbers is right to
# 10^4 x 1.1e-16 of their size. Real differences are larger by far: of rates, multiples of 1 / (problems x samples).
ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """Hold an estimate, its interval, and how many problems it rests on.

    `bias` is the mean of the resamples minus the value: large for statistics, such as ECE, that cannot be
    negative.

    >>> str(Interval(0.412, 0.36, 0.4612, n=120))
    '0.412 [0.36, 0.46]'
    """

    value: float
    low: float
    high: float
    n: int
    bias: float = 0.0

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "n/a"
        digits = 3 if 0 < self.high - self.low < 0.1 else 2  # two would show a narrow interval as a point
        low, high = (round(bound, digits) + 0.0 for bound in (self.low, self.high))  # + 0.0: no "-0.00"
        return f"{round(self.value, 3) + 0.0:.3f} [{low:.{digits}f}, {high:.{digits}f}]"

    @property
    def excludes_zero(self) -> bool:
        """Return whether 0 lies outside the interval; False for NaN, and for a bound that is 0 but for rounding.

        >>> Interval(-0.031, -0.078, -2.3e-18, n=64).excludes_zero
        False
        """
        rounding = ROUNDING * max(abs(self.value), abs(self.low), abs(self.high))
        return self.low > rounding or self.high < -rounding


def difference(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return a - b, exactly 0 where they differ by no more than rounding, `ROUNDING` of the larger one.

    >>> difference([0.1 + 0.2, 1.0], [0.3, 0.75])
    array([0.  , 0.25])
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    gap = a - b
    return np.where(np.abs(gap) <= ROUNDING * np.maximum(np.abs(a), np.abs(b)), 0.0, gap)


def bootstrap_counts(
    statistics: Callable[[NDArray[np.float64]], Values],
    n_problems: int,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    basic: Collection[str] = (),
    chunk: int = 100,
) -> dict[str, Interval]:
    """Return an interval for each of many statistics, all from the same resampled problems, vectorised.

    Args:
        statistics: takes how often each resample holds each problem, counts of shape (R, P), and returns
            name -> values of shape (R,). The estimate itself is its value at counts of all ones.
        n_problems: P.
        level: coverage aimed at, in (0, 1); percentile intervals [quantile(a/2), quantile(1 - a/2)].
        basic: names that get the basic interval [2 value - high, 2 value - low], which turns the bias of the
            resamples round: right for statistics that noise pushes one way, such as ECE.
        chunk: resamples per call, which bounds the memory and changes nothing else.

    Resamples where a statistic is NaN (one class only) are left out. A NaN estimate gives NaN bounds.
    Source: Efron 1979; Davison and Hinkley 1997, chapters 3.8 (clusters) and 5.2.

    >>> values = np.array([0.0, 1.0, 1.0, 1.0])
    >>> str(bootstrap_counts(lambda counts: {"mean": counts @ values / 4}, 4)["mean"])
    '0.750 [0.25, 1.00]'
    """
    if n_resamples < 1 or not 0 < level < 1:
        raise DataError(f"A bootstrap needs n_resamples >= 1 and 0 < level < 1; found {n_resamples} and {level}.")
    values = {name: float(np.squeeze(v)) for name, v in statistics(np.ones((1, n_problems))).items()}
    if n_problems == 0:
        return {name: Interval(value, np.nan, np.nan, 0) for name, value in values.items()}
    rng, p = np.random.default_rng(seed), np.full(n_problems, 1 / n_problems)
    sizes = [min(chunk, n_resamples - start) for start in range(0, n_resamples, chunk)]
    parts = [statistics(rng.multinomial(n_problems, p, size=size).astype(float)) for size in sizes]
    return {
        name: resampled_interval(
            value, np.concatenate([part[name] for part in parts]), n_problems, level, name in basic
        )
        for name, value in values.items()
    }


def resampled_interval(value: float, resampled_R: NDArray[np.float64], n: int, level: float, basic: bool) -> Interval:
    """Return the percentile interval of a value from its resamples, without NaN; `basic` mirrors it at the value."""
    resampled_R = resampled_R[~np.isnan(resampled_R)]
    if math.isnan(value) or not resampled_R.size:
        return Interval(value, np.nan, np.nan, n)
    low, high = (float(q) for q in np.quantile(resampled_R, [(1 - level) / 2, (1 + level) / 2]))
    if basic:
        low, high = 2 * value - high, 2 * value - low
    return Interval(value, low, high, n, bias=float(resampled_R.mean()) - value)


def bootstrap(
    statistic: Callable[..., float],
    *arrays_P: ArrayLike,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a percentile interval for any statistic of arrays whose first axis is the problem.

    `statistic` is called once per resample with the resampled arrays: general but slow. For ragged samples
    pass `np.arange(P)`: the statistic then gets the indices of the resampled problems and pools their samples
    itself. Same seed, same resamples as `bootstrap_counts`.

    Raises:
        DataError: the arrays differ in their number of problems.

    >>> samples = [[0, 1], [1], [1, 1, 1]]
    >>> str(bootstrap(lambda index: np.mean(sum((samples[i] for i in index), [])), np.arange(3)))
    '0.833 [0.50, 1.00]'
    """
    arrays = [np.asarray(array) for array in arrays_P]
    sizes = {len(array) for array in arrays}
    if len(sizes) != 1:
        raise DataError(f"A bootstrap needs arrays with the same problems; found {sorted(sizes)} of them.")

    def statistics(counts_RP: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        rows = [np.repeat(np.arange(counts.size), counts.astype(int)) for counts in counts_RP]
        return {"": np.array([statistic(*(array[index] for array in arrays)) for index in rows])}

    return bootstrap_counts(statistics, sizes.pop(), n_resamples=n_resamples, level=level, seed=seed)[""]


def mean_defined(values_P: NDArray[np.float64], counts_RP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the values that are not NaN in each resample, shape (R,).

    >>> mean_defined(np.array([1.0, np.nan, 4.0]), np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    array([2.5, 2. ])
    """
    defined_P = ~np.isnan(values_P)
    return ratio(counts_RP[:, defined_P] @ values_P[defined_P], counts_RP[:, defined_P].sum(-1))


def bootstrap_mean(values_P: ArrayLike, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the percentile interval of the mean over problems; NaN is left out and `n` counts the rest.

    >>> str(bootstrap_mean([0.0, 1.0, 1.0, 1.0])), bootstrap_mean([0.5, float("nan")]).n
    ('0.750 [0.25, 1.00]', 1)
    """
    values = np.asarray(values_P, dtype=float)
    values = values[~np.isnan(values)]
    interval = bootstrap_counts(
        lambda counts_RP: {"": mean_defined(values, counts_RP)},
        values.size,
        n_resamples=n_resamples,
        level=level,
        seed=seed,
    )
    return interval[""]


def paired_difference(
    a_P: ArrayLike, b_P: ArrayLike, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the interval of mean(b - a) for two runs on the same problems, in the same order (see `align`).

    Problems that are hard for both cancel, so this is narrower than two separate intervals suggest. A problem
    where either value is NaN is left out, and `n` counts the rest.

    Raises:
        DataError: the shapes differ.

    >>> str(paired_difference([0.0, 0.5, 1.0], [0.25, 0.75, 1.0]))
    '0.167 [0.00, 0.25]'
    """
    a, b = np.asarray(a_P, dtype=float), np.asarray(b_P, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"A paired difference needs one value per problem in both runs; found {a.shape} and {b.shape}.")
    return bootstrap_mean(difference(b, a), n_resamples=n_resamples, level=level, seed=seed)
