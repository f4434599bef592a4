"""Bound a mean where every problem gave the same value: resampling equal values shows no spread."""

import math
from dataclasses import replace

from rlvr.core.errors import DataError
from rlvr.measure.metrics.bootstrap import ROUNDING, Interval


def exact_bounds(
    value: float, n: int, within: tuple[float, float] = (0.0, 1.0), level: float = 0.95
) -> tuple[float, float]:
    """Return the bounds of a mean over problems when all n problems that were drawn gave this one value.

        q = ((1 - level) / 2) ** (1 / n)        low = q value + (1 - q) a        high = q value + (1 - q) b

    with values known to lie in [a, b] = `within`. If a share s of all problems gave another value, n draws would all
    miss it with chance (1 - s)^n; above s = 1 - q that is less than (1 - level) / 2, and at worst all of that share
    has the value a, or b. For a share of right answers at 0 or 1 these are the Clopper-Pearson bounds (at 1:
    low = q, high = 1), and 1 - q is about 3.7 / n at 95% ("rule of three", which is one-sided: 3 / n).

    Raises DataError for n < 1, a level outside (0, 1), or a value outside `within`.
    Sources: Clopper and Pearson 1934, Biometrika 26; Hanley and Lippman-Hand 1983, JAMA 249.

    >>> [round(bound, 3) for bound in exact_bounds(1.0, 32)]
    [0.891, 1.0]
    >>> [round(bound, 3) for bound in exact_bounds(0.0, 32, within=(-1.0, 1.0))]
    [-0.109, 0.109]
    """
    a, b = within
    if n < 1 or not 0 < level < 1 or not a - ROUNDING <= value <= b + ROUNDING:
        raise DataError(f"Exact bounds need n >= 1, 0 < level < 1, {a} <= value <= {b}; found {n}, {level}, {value}.")
    q = ((1 - level) / 2) ** (1 / n)
    return q * value + (1 - q) * a, q * value + (1 - q) * b


def never_certain(interval: Interval, within: tuple[float, float] = (0.0, 1.0), level: float = 0.95) -> Interval:
    """Return the interval of a mean over problems, with exact bounds in place of an interval of width 0.

    >>> str(never_certain(Interval(1.0, 1.0, 1.0, n=120)))
    '1.000 [0.970, 1.000]'
    >>> str(never_certain(Interval(0.5, 0.4, 0.6, n=120)))
    '0.500 [0.40, 0.60]'
    """
    if interval.n < 1 or not math.isfinite(interval.value) or not interval.high - interval.low <= ROUNDING:
        return interval
    low, high = exact_bounds(interval.value, interval.n, within, level)
    return replace(interval, low=low, high=high)
