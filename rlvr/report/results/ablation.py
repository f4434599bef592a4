"""One ablation: its arms over seeds, and their paired differences to a baseline, as tables to keep."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.core.errors import SpecError, did_you_mean
from rlvr.planning.ablation.arms import Ablation as Arms
from rlvr.planning.ablation.arms import reopen
from rlvr.planning.ablation.measure import read_measured
from rlvr.report.ablation.summary import summarise_ablation
from rlvr.report.ablation.text import tables, to_text
from rlvr.report.ablation.write import write_comparison
from rlvr.report.results.export import latex_table
from rlvr.report.results.show import html_lines, html_table
from rlvr.report.tables import Table


class Ablation:
    """Open an ablation's folder: the arms, and how each differs from the baseline, paired by problem and seed.

    Args:
        folder: what `rlvr ablate --out` wrote; runs that have not finished are left out and listed in `missing`.
        baseline: the arm that the others are compared with; None takes the ablation's own.

    Raises:
        SpecError: no such arm; or the folder does not say which arm is the baseline (an ablation of before 2026-11-24).
        RunError: the folder holds no ablation.
        DataError: arms that were measured on different problems.
    """

    def __init__(self, folder: str | os.PathLike[str], baseline: str | None = None):
        self.path = Path(folder)
        self._arms: Arms = reopen(self.path, baseline)
        self.failed: list[str] = []  # the runs that failed in the call that returned this

    @cached_property
    def _summary(self) -> dict[str, Any]:
        return summarise_ablation(self._arms, self.path)

    @property
    def baseline(self) -> str:
        """Return the arm that the others are compared with."""
        return self._arms.baseline

    @property
    def missing(self) -> list[str]:
        """Return the names of the runs that have not finished."""
        return self._summary["missing"]

    def measured(self, arm: str, seed: int) -> dict[str, Any]:
        """Return what the ablation's `measure` function returned for one run; empty where it was not measured."""
        runs = {(run.arm, run.seed): run for run in self._arms.runs}
        if (arm, seed) not in runs:
            raise SpecError(did_you_mean("run", f"{arm}-s{seed}", [run.name for run in runs.values()]))
        return read_measured(runs[arm, seed], self.path)

    @property
    def table(self) -> pd.DataFrame:
        """Return one row for each arm: seeds, mean and interquartile mean over them of each metric, cost."""
        rows = {
            name: {
                "seeds": arm["seeds"],
                **arm["mean"],
                **{f"{metric} IQM": value for metric, value in arm["iqm"].items()},
                **arm["cost"],
            }
            for name, arm in self._summary["arms"].items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")

    @property
    def differences(self) -> pd.DataFrame:
        """Return one row for each arm and metric: arm minus baseline, its 95% interval, p, and p after Holm."""
        summary = self._summary
        rows = [
            {
                "arm": arm,
                "metric": metric,
                "difference": gap.value,
                "low": gap.low,
                "high": gap.high,
                "p": summary["p"].get(f"{arm} {metric}"),
                "p_holm": summary["p_holm"].get(f"{arm} {metric}"),
            }
            for arm, gaps in summary["differences"].items()
            for metric, gap in gaps.items()
        ]
        columns = ["arm", "metric", "difference", "low", "high", "p", "p_holm"]
        return pd.DataFrame(rows, columns=columns).set_index(["arm", "metric"])

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the paired differences as CSV, all digits; write them to `path` too where one is given."""
        return _written(self.differences.to_csv(), path)

    def to_latex(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the paired differences as a LaTeX table (booktabs); write it to `path` too where one is given."""
        headers, rows = tables(self._summary)[1]
        return _written(latex_table(Table(tuple(headers), rows)), path)

    def write(self, out: str | os.PathLike[str]) -> Path:
        """Write report.md, a forest plot for each metric, differences.csv and differences.tex to a folder.

        Returns the path of report.md.
        """
        write_comparison(self._summary, Path(out))
        self.to_csv(Path(out) / "differences.csv")
        self.to_latex(Path(out) / "differences.tex")
        return Path(out) / "report.md"

    def __repr__(self) -> str:
        return to_text(self._summary)

    def _repr_html_(self) -> str:
        missing = [f"Not finished: {', '.join(self.missing)}."] if self.missing else []
        return "".join(map(html_table, tables(self._summary))) + html_lines(missing)


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
