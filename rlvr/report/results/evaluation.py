"""One evaluation: the stored samples, and the metrics that can be computed from them."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.core.errors import DataError
from rlvr.core.files import write_whole
from rlvr.measure.metrics import Interval, summarise_eval
from rlvr.report import tables
from rlvr.report.measured import summarise_sides
from rlvr.report.results.comparison import Comparison
from rlvr.report.results.export import latex_table, write_samples
from rlvr.report.results.intervals import Intervals
from rlvr.report.results.show import html_lines, html_table
from rlvr.report.terminal import eval_table
from rlvr.runs.eval_file import load_eval, save_eval
from rlvr.runs.texts_file import DIGEST, has_texts, text_rows, without_texts

CALIBRATION = (
    "ece", "ece_mass", "ece_debiased", "brier", "brier_reliability", "brier_resolution", "brier_uncertainty",
    "brier_constant", "brier_skill", "auroc", "nll", "aurc", "confidence_mean", "overconfidence", "confidence_missing",
)  # fmt: skip


class Evaluation:
    """Read an evaluation: the n samples of each problem with their verdicts and confidences.

    Args:
        source: a file that `rlvr evaluate` or a run wrote (eval/<when>/<set>.json), or what it holds as a dict.

    Raises:
        DataError: the file is missing or is no evaluation.
    """

    def __init__(self, source: str | os.PathLike[str] | Mapping[str, Any]):
        self.path = None if isinstance(source, Mapping) else Path(source)
        self._whole = source if isinstance(source, Mapping) and has_texts(source) else None
        read = source if isinstance(source, Mapping) else load_eval(Path(source))
        self.contents: Mapping[str, Any] = read if self._whole is None else without_texts(read)

    @property
    def record(self) -> Mapping[str, Any]:
        """Return `contents`, under the name that it had before."""
        return self.contents

    @property
    def data(self) -> str:
        """Return the spec of the problem set."""
        return self.contents.get("spec") or self.contents.get("set", "")

    @property
    def n(self) -> int:
        """Return how many samples each problem has."""
        return self.contents["n"]

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self.contents["problems"])

    def metrics(self, confidence: str = "stated") -> Intervals:
        """Return every metric with its interval (see `rlvr.measure.metrics.summarise_eval`)."""
        summary = summarise_eval(self.contents, None, confidence)
        return Intervals({name: value for name, value in summary.items() if isinstance(value, Interval)})  # not counts

    def pass_at_k(self, ks: Sequence[int] | None = None) -> Intervals:
        """Return pass@k for each k, unbiased, with its interval over problems (2107.03374).

        `ks` None takes the powers of two that nine in ten problems have enough samples for.
        Raises DataError for a k that no problem has enough samples for.
        """
        summary = summarise_eval(self.contents, ks)
        return Intervals({name: value for name, value in summary.items() if name.startswith("pass@")})  # type: ignore[misc]

    def calibration(self, confidence: str = "stated") -> Intervals:
        """Return how well confidence matches correctness: ECE, Brier and its parts, AUROC, NLL, AURC, and the means.

        `confidence`: stated in the completion, or one of `rlvr.metrics.CONFIDENCES`. Samples without a verdict or a
        confidence are left out, never imputed; `confidence_missing` is their share.
        """
        summary = summarise_eval(self.contents, None, confidence)
        return Intervals({name: summary[name] for name in CALIBRATION})  # type: ignore[misc]

    def compare(
        self,
        other: "Evaluation | Mapping[str, Any] | str | os.PathLike[str]",
        confidence: str = "stated",
        allow_missing: bool = False,
    ) -> Comparison:
        """Return `other` minus this one for every metric, paired by problem, with intervals.

        `other` may be an Evaluation, a file or what it holds. Raises DataError where the two cannot be paired.
        """
        other = other if isinstance(other, Evaluation) else Evaluation(other)
        return Comparison(self.contents, other.contents, confidence, allow_missing)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each sample: id, task, gold, sample, then what is known of it.

        `correct` is True, False, or missing where the verifier failed; `confidence` is NaN where none was stated.
        `p` is the computed chance of the problem, where it was computed. An evaluation without any sample has a row for
        each problem.
        """
        sampled, rows = any(problem["samples"] for problem in self.contents["problems"]), []
        for problem in self.contents["problems"]:
            known = {name: problem[name] for name in ("id", "task", "gold", "p") if name in problem}
            samples = [{"sample": i, **sample} for i, sample in enumerate(problem["samples"])]
            rows += [known | sample for sample in (samples if sampled else [{}])]
        frame = pd.DataFrame(rows)
        kinds = {"correct": "boolean", "confidence": "float64"}
        return frame.astype({name: kind for name, kind in kinds.items() if name in frame})

    @property
    def texts(self) -> pd.DataFrame:
        """Return one row for each sample: id, sample, prompt (the last message), messages (JSON), text.

        Raises DataError where the texts were not kept, or belong to another evaluation.
        """
        return pd.DataFrame(text_rows(self.with_texts()))

    def with_texts(self) -> Mapping[str, Any]:
        """Return the evaluation whose samples hold their `text`; raises as `texts` does."""
        if self._whole is not None:
            return self._whole
        if self.path is None:
            raise DataError("This evaluation holds no texts: it was made with texts='none'. Measure again.")
        return load_eval(self.path, texts=True)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the evaluation, whole or not at all, and its texts if it has some; return its path."""
        kept = self._whole is not None or DIGEST in self.contents
        save_eval(dict(self.with_texts() if kept else self.contents), Path(path))
        return Path(path)

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write one row for each sample as .jsonl (which `rlvr score` reads) or .csv, or the metrics as .tex."""
        if Path(path).suffix == ".tex":
            write_whole(Path(path), latex_table(self._table))
            return Path(path)
        return write_samples(self.with_texts() if self._whole or DIGEST in self.contents else self.contents, Path(path))

    @property
    def _table(self) -> tables.Table:
        table = tables.metrics(summarise_sides({"after": self.contents}))
        return table._replace(headers=("metric", "estimate [95%]", "problems"))

    @cached_property
    def _text(self) -> str:
        return eval_table(self.contents)

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        title = f"{self.data}: {len(self)} problems, {self.n} samples each, model {self.contents.get('model', '?')}"
        return html_lines([title]) + html_table(self._table)
