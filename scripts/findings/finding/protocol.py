"""Judge by the protocol of a finding: gates before any arm, t intervals over seeds, one primary endpoint, Holm.

1. Gates are measured on validation problems and pilot seeds; one that fails makes the page say "not testable here".
2. An endpoint is one number per seed, a paired difference; it holds if its t interval lies above what it must exceed.
3. The primary endpoint is judged at the level itself; the others share it, by Holm.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, t

from finding.tables import signed
from finding.verdict import Point
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.seeds import holm, t_interval


class Gate(NamedTuple):
    """Hold a condition that a design must meet before an arm is run: a number, and the range it must lie in."""

    what: str
    value: float
    low: float = -np.inf
    high: float = np.inf

    @property
    def passed(self) -> bool:
        """Return whether the number lies in the range; NaN does not."""
        return self.low <= self.value <= self.high

    @property
    def asked(self) -> str:
        """Return the range in words.

        >>> Gate("pass@1", 0.5, 0.05, 0.2).asked, Gate("pass@128", 0.7, high=0.9).asked
        ('0.05 to 0.2', 'at most 0.9')
        """
        if np.isfinite([self.low, self.high]).all():
            return f"{self.low:g} to {self.high:g}"
        return f"at least {self.low:g}" if np.isfinite(self.low) else f"at most {self.high:g}"


class Endpoint(NamedTuple):
    """Hold what is judged: a paired difference for each seed, which on average must exceed `above`."""

    claim: str
    values_S: Sequence[float]
    above: float = 0.0


def judge(primary: Endpoint, others: Sequence[Endpoint] = (), level: float = 0.05) -> list[Point]:
    """Return a point for each endpoint, the primary first: mean over seeds, t interval, p, and p by Holm.

    Two-sided t tests of mean = `above`. The primary holds if p < level and the mean lies above; the others if their p,
    adjusted by Holm among them, does. Raises DataError for an endpoint without a seed.

    >>> judge(Endpoint("NSR - base", [0.02, 0.05, 0.03, 0.06]))[0].held
    True
    """
    tests = {one.claim: t_interval(np.subtract(one.values_S, one.above), 1 - level) for one in (primary, *others)}
    if len(tests) <= len(others):
        raise ValueError("Two endpoints have the same claim: give each a name of its own.")
    adjusted = holm({one.claim: tests[one.claim][1] for one in others})
    points = []
    for one in (primary, *others):
        gap, p = tests[one.claim]
        p_used = adjusted.get(one.claim, p)
        mean, low, high = (bound + one.above for bound in (gap.value, gap.low, gap.high))
        numbers = f"{signed(Interval(mean, low, high, gap.n))}, p = {p:.4f}"
        if one.claim in adjusted:
            numbers += f", Holm {p_used:.4f}"
        points.append(Point(one.claim, numbers, bool(gap.value > 0 and p_used < level)))
    return points


def detectable(sd: float, seeds: int, level: float = 0.05, power: float = 0.8) -> float:
    """Return the true mean difference that a two-sided t test over `seeds` finds with chance `power`.

    `sd`: the standard deviation over seeds of one paired difference. The power at a shift d is that of a noncentral t
    with S - 1 degrees of freedom and noncentrality d sqrt(S) / sd.

    >>> round(detectable(0.02, 8), 4), round(detectable(0.02, 50), 4)
    (0.0231, 0.0081)
    """
    edge = t.ppf(1 - level / 2, seeds - 1)

    def missed(shift: float) -> float:
        wrong_side = np.nan_to_num(nct.cdf(-edge, seeds - 1, shift))  # SciPy has NaN where it is 0 to all digits
        return float(nct.sf(edge, seeds - 1, shift) + wrong_side) - power

    return float(brentq(missed, 1e-6, 2 * edge + 5) * sd / np.sqrt(seeds))
