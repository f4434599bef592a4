"""Write numbers and untrusted text as a report shows them."""

import math
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from rlvr.measure.metrics import Interval


class Metric(NamedTuple):
    """Hold how one metric is shown: its key, its label, whether more is better (None: neither), its decimals."""

    key: str
    label: str
    better: bool | None
    digits: int = 3


# The order is that of every table; "pass@" stands for every k that was measured.
METRICS = (
    Metric("pass@", "pass@", True),
    Metric("majority_vote", "majority vote", True),
    Metric("confidence_vote", "confidence-weighted vote", True),
    Metric("ece", "ECE, 10 bins", False),
    Metric("ece_debiased", "ECE, bias removed", False),
    Metric("brier", "Brier", False),
    Metric("brier_constant", "Brier of a constant confidence", None),
    Metric("brier_skill", "Brier skill over the constant", True),
    Metric("auroc", "AUROC", True),
    Metric("aurc", "AURC", False),
    Metric("confidence_mean", "mean confidence", None),
    Metric("overconfidence", "overconfidence", None),
    Metric("confidence_missing", "confidence missing", False),
    Metric("format_rate", "format right", True),
    Metric("truncated", "cut off at the length limit", False),
    Metric("verifier_failures", "verifier failures", False),
    Metric("tokens", "tokens per completion", None, 1),
)

_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, marks without width or that turn the direction, half characters


class _Names(dict[int, str]):
    """Map a code point to what is shown for it, looked up by its Unicode category when it is first met."""

    def __missing__(self, code: int) -> str:
        acts = (unicodedata.category(chr(code)) in _ACTING and code not in (9, 10)) or code & 0xFFFE == 0xFFFE
        self[code] = f"⟨U+{code:04X}⟩" if acts else chr(code)
        return self[code]


_NAMES = _Names()


def visible(text: str) -> str:
    """Return text in which every character that acts instead of showing is replaced by its name.

    Control characters but tab and newline, terminal escapes, marks that turn the direction of writing or have no
    width (Unicode category Cf: soft hyphen, joiners, tag characters), no characters; letters of any script stay.

    >>> visible("\x1b[31mred \u202eabc")
    '⟨U+001B⟩[31mred ⟨U+202E⟩abc'
    """
    return text.translate(_NAMES)


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """Return a number with fixed digits; "n/a" for None and NaN, and never "-0.000".

    >>> number(-0.0001), number(0.25, 2, signed=True), number(None)
    ('0.000', '+0.25', 'n/a')
    """
    if value is None or math.isnan(value):
        return "n/a"
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}"


def interval(estimate: Interval | None, digits: int = 3, signed: bool = False) -> str:
    """Return an estimate with its interval, as every table shows it.

    >>> interval(Interval(0.4123, 0.36, 0.4612, n=120))
    '0.412 [0.360, 0.461]'
    >>> interval(Interval(8.0, 7.0, 9.04, n=3), digits=1, signed=True)
    '+8.0 [+7.0, +9.0]'
    """
    if estimate is None or math.isnan(estimate.value):
        return "n/a"
    low, high = (number(bound, digits, signed) for bound in (estimate.low, estimate.high))
    return f"{number(estimate.value, digits, signed)} [{low}, {high}]"


def known_metrics(names: Iterable[str]) -> list[Metric]:
    """Return those of `METRICS` that are among `names`, pass@k once for each k.

    >>> [metric.label for metric in known_metrics(["pass@8", "brier", "pass@1", "samples"])]
    ['pass@1', 'pass@8', 'Brier']
    """
    names = set(names)
    metrics = []
    for metric in METRICS:
        if metric.key == "pass@":
            ks = sorted(int(name.removeprefix("pass@")) for name in names if name.startswith("pass@"))
            metrics += [metric._replace(key=f"pass@{k}", label=f"pass@{k}") for k in ks]
        elif metric.key in names:
            metrics.append(metric)
    return metrics
