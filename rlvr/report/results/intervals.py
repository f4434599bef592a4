"""Metrics by name, each with its interval, as a mapping that shows itself."""

from collections.abc import Iterator, Mapping

import pandas as pd

from rlvr.measure.metrics import Interval
from rlvr.report.results.show import html_table, text
from rlvr.report.show import interval, known_metrics
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table


class Intervals(Mapping[str, Interval]):
    """Map the name of a metric to its Interval; `intervals[4]` is short for `intervals["pass@4"]`.

    >>> intervals = Intervals({"pass@1": Interval(0.5, 0.4, 0.6, n=10)})
    >>> intervals[1].value
    0.5
    >>> intervals
    metric  estimate [95%]        problems
    ──────  ────────────────────  ────────
    pass@1  0.500 [0.400, 0.600]  10
    """

    def __init__(self, values: Mapping[str, Interval]):
        self._values = dict(values)

    def __getitem__(self, name: str | int) -> Interval:
        return self._values[f"pass@{name}" if isinstance(name, int) else name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one row for each metric: value, low, high (the 95% interval), problems."""
        rows = {name: (one.value, one.low, one.high, one.n) for name, one in self.items()}
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high", "problems"])
        return frame.rename_axis("metric")

    def _table(self) -> Table:
        known = {metric.key: metric for metric in known_metrics(self)}
        rows = [(m.label, interval(self[key], m.digits), str(self[key].n)) for key, m in known.items()]
        rows += [(key, interval(one), str(one.n)) for key, one in self.items() if key not in known]
        return Table(("metric", "estimate [95%]", "problems"), rows)

    def __repr__(self) -> str:
        return text(text_table(self._table()))

    def _repr_html_(self) -> str:
        return html_table(self._table())
