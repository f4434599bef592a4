"""Two evaluations on the same problems, and what changed between them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.core.errors import DataError
from rlvr.core.files import write_whole
from rlvr.measure.metrics import Interval, align
from rlvr.report import tables
from rlvr.report.measured import summarise_sides
from rlvr.report.results.export import latex_table
from rlvr.report.results.show import html_lines, html_table, text
from rlvr.report.terminal import text_table


class Comparison(Mapping[str, Interval]):
    """Map each metric to its change, `after - before`, paired by problem, with a 95% interval.

    Printed, it shows both sides and the change. `notes` say what differs besides the models (another temperature,
    say), which makes the change no effect of training.

    Args:
        before, after: evaluations, as `load_eval` returns them.
        confidence: whose confidence the calibration metrics judge, one of `rlvr.measure.metrics.CONFIDENCES`.
        allow_missing: compare on the shared problems where one side has more.

    Raises:
        DataError: the two cannot be paired (other problems, other gold answers, another version of the set).
    """

    def __init__(
        self,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        confidence: str = "stated",
        allow_missing: bool = False,
    ):
        before, after = align(before, after, allow_missing)
        self._measured = summarise_sides({"before": before, "after": after}, confidence)
        self.notes: list[str] = self._measured["notes"]
        if not self._measured["difference"]:
            raise DataError(self.notes[-1])

    def __getitem__(self, metric: str | int) -> Interval:
        return self._measured["difference"][f"pass@{metric}" if isinstance(metric, int) else metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._measured["difference"])

    def __len__(self) -> int:
        return len(self._measured["difference"])

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one row for each metric: before, after, change, low, high, problems."""
        sides = [self._measured[when] for when in ("before", "after")]
        rows = {
            name: (*(side[name].value for side in sides), change.value, change.low, change.high, change.n)
            for name, change in self.items()
        }
        columns = ["before", "after", "change", "low", "high", "problems"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("metric")

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write both sides and the paired change as a LaTeX table (booktabs); return its path."""
        write_whole(Path(path), latex_table(tables.metrics(self._measured)))
        return Path(path)

    def __repr__(self) -> str:
        return text([*text_table(tables.metrics(self._measured)), *self.notes])

    def _repr_html_(self) -> str:
        return html_table(tables.metrics(self._measured)) + html_lines(self.notes)
