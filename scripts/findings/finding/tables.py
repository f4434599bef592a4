"""Write the cells of a page."""

from collections.abc import Iterable, Sequence

from rlvr.measure.metrics import Interval
from rlvr.report import show


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Return the rows of a Markdown table whose header the template has.

    >>> lines([["grpo", 0.5]])
    '| grpo | 0.5 |'
    """
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in rows)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table.

    >>> print(table(["arm", "pass@1"], [["grpo", 0.5]]))
    | arm | pass@1 |
    |---|---|
    | grpo | 0.5 |
    """
    return "\n".join([lines([header]), "|---" * len(header) + "|", lines(rows)])


def signed(found: Interval, digits: int = 3) -> str:
    """Return a difference with its interval.

    >>> signed(Interval(0.0412, 0.0, 0.08, n=5))
    '+0.041 [0.000, +0.080]'
    """
    return show.interval(found, digits, signed=True)
