"""One run directory: what was measured before and after, what was logged, what was sampled."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.core.errors import RunError, did_you_mean
from rlvr.report import tables, write_report
from rlvr.report.measured import summarise_sides
from rlvr.report.read import WHEN, read_run
from rlvr.report.results.evaluation import Evaluation
from rlvr.report.results.page import Page
from rlvr.report.results.show import html_lines, html_table, text
from rlvr.report.terminal import text_table
from rlvr.report.validation import validation_frame
from rlvr.runs.directory import RunDir, slug
from rlvr.training.health import health_verdict

SHOWN = ("pass@1", "ece", "brier", "auroc", "format_rate", "tokens")


class Run:
    """Open a run directory, of a run that has ended or still goes on: everything is read when it is asked for.

    Args:
        path: the directory that `rlvr train` or `rlvr.train` made.

    Raises:
        RunError: there is no such directory, or it is none of a run.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._read()

    def _read(self) -> dict[str, Any]:
        return read_run(self.path)

    @property
    def config(self) -> dict[str, Any]:
        """Return the settings in config.yaml; `rlvr.train(config=run.path / "config.yaml")` repeats the run."""
        return self._read()["config"]

    @property
    def notes(self) -> list[str]:
        """Return what the directory lacks, in words."""
        return self._read()["notes"]

    @property
    def health(self) -> str:
        """Return one line on whether the run could learn, and what to change (rlvr/training/health.py)."""
        return health_verdict(self._read()["metrics"])

    @property
    def model(self) -> Path:
        """Return the folder of the trained model, which `rlvr.load_model` and `rlvr.measure.evaluate` take."""
        return RunDir(self.path).model

    @property
    def before(self) -> Evaluation:
        """Return the evaluation before training; see `evaluation` for a run that measured several sets."""
        return self.evaluation("before")

    @property
    def after(self) -> Evaluation:
        """Return the evaluation after training; see `evaluation` for a run that measured several sets."""
        return self.evaluation("after")

    def evaluation(self, when: str, data: str | None = None) -> Evaluation:
        """Return the evaluation made `when` ("before" or "after") on the set `data`, its spec or its file's name.

        Raises RunError where there is none, or where `data` is not given and several sets were measured.
        """
        if when not in WHEN:
            raise RunError(did_you_mean("time of an evaluation", when, WHEN))
        evaluations = {name: sides[when] for name, sides in self._read()["evals"].items() if when in sides}
        if not evaluations:
            raise RunError(
                f"{self.path} holds no evaluation {when} training (eval_size 0, or the run has not got there)."
            )
        if data is not None:
            if slug(data) not in evaluations:
                raise RunError(did_you_mean("set measured " + when + " training", data, evaluations))
            return Evaluation(evaluations[slug(data)])
        if len(evaluations) > 1:
            raise RunError(
                f"{self.path} measured {len(evaluations)} sets: {', '.join(evaluations)}. Name one: "
                f"run.evaluation({when!r}, {next(iter(evaluations))!r})."
            )
        return Evaluation(next(iter(evaluations.values())))

    @property
    def metrics(self) -> pd.DataFrame:
        """Return what was logged, one row for each optimizer step (docs/metrics.md); null becomes NaN."""
        frame = pd.DataFrame(self._read()["metrics"])
        return frame.set_index("step") if len(frame) else frame

    @property
    def validation(self) -> pd.DataFrame:
        """Return what was measured while it trained (`eval_every`): pass@1, Brier and ECE by step, with intervals."""
        return validation_frame(self.path)

    @property
    def rollouts(self) -> pd.DataFrame:
        """Return every completion that was sampled, with its terms, reward, advantage and what dropped it, if so."""
        return _frame(self._read()["rollouts"])

    @property
    def difficulty(self) -> pd.DataFrame:
        """Return a table of problem ids with their attempts and successes."""
        file = RunDir(self.path).difficulty
        return _frame([file] if file.is_file() else [])

    def report(self, out: str | os.PathLike[str] | None = None) -> Page:
        """Write the report (one page that needs no network) to the run directory, or to `out`, and return it."""
        return Page(write_report([self.path], self.path if out is None else Path(out)))

    def export(
        self,
        out: str | os.PathLike[str] | None = None,
        *,
        merge: bool = False,
        dtype: str = "bfloat16",
        push: str | None = None,
        gguf: bool = False,
    ) -> Path:
        """Write the trained model as a folder for other programs (weights, tokenizer, template, card), and return it.

        The arguments are those of `rlvr export` (rlvr/report/export_model.py).
        """
        from rlvr.report.export_model import export_model  # loads models: not for those who only look

        folder = None if out is None else Path(out)
        return export_model(self.path, folder, merge=merge, dtype=dtype, push=push, gguf=gguf)

    def _facts(self, contents: dict[str, Any]) -> list[str]:
        config, steps = contents["config"], contents["metrics"][-1]["step"] if contents["metrics"] else 0
        given = {key: config[key] for key in ("model", "data", "rewards", "advantage") if key in config}
        return [
            f"Run({str(self.path)!r}): {steps} of {config.get('max_steps', '?')} steps",
            ", ".join(f"{key} {value}" for key, value in given.items()),
            *contents["notes"],
        ]

    def _tables(self, contents: dict[str, Any]) -> list[tuple[str, tables.Table]]:
        return [(name, tables.metrics(summarise_sides(sides), SHOWN)) for name, sides in contents["evals"].items()]

    def __repr__(self) -> str:
        contents = self._read()
        lines = self._facts(contents)
        for name, table in self._tables(contents):
            lines += ["", name, *text_table(table)]
        return text(lines)

    def _repr_html_(self) -> str:
        contents = self._read()
        shown = [html_lines([name]) + html_table(table) for name, table in self._tables(contents)]
        return html_lines(self._facts(contents)) + "".join(shown)


def _frame(files: Sequence[Path]) -> pd.DataFrame:
    """Read parquet files one below the other; a column that a file lacks, or that holds only nulls there, is null."""
    if not files:
        return pd.DataFrame()
    return pa.concat_tables([pq.read_table(file) for file in files], promote_options="permissive").to_pandas()
