"""Write the comparison of an ablation: the Markdown and a forest plot for each metric, whole or not at all."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlvr.core.errors import RunError
from rlvr.core.files import replacing
from rlvr.measure.plots import figure_svg, plot_forest
from rlvr.report.ablation.text import few_seeds, to_text
from rlvr.report.show import visible
from rlvr.runs.directory import slug

LABELS = {"pass@1": "pass@1", "brier": "Brier score (lower is better)", "ece": "ECE (lower is better)"}


def write_comparison(summary: Mapping[str, Any], out: Path, failures: Sequence[tuple[str, str]] = ()) -> str:
    """Write report.md and plots/forest-<metric>.svg to the folder `out`; return the text.

    `summary` as of `summarise_ablation`; `failures`: run -> the end of its log. Raises RunError where `out` cannot be
    written.
    """
    text = to_text(summary, failures)
    try:
        for metric in (*LABELS, *summary["measured"]):
            label = LABELS.get(metric, visible(metric))
            intervals = {visible(arm): gaps[metric] for arm, gaps in summary["differences"].items() if metric in gaps}
            gaps = {arm: gap for arm, gap in intervals.items() if math.isfinite(gap.value)}
            if gaps:
                seeds = {visible(arm): one[metric] for arm, one in summary["by_seed"].items() if metric in one}
                axis = f"{label} minus {visible(summary['baseline'])}"
                name = f"forest-{slug(metric)}.svg"
                _write(out / "plots" / name, figure_svg(plot_forest(gaps, seeds, axis, few_seeds(summary))))
                text += f"\n![{axis}: each arm with its 95% interval, each seed a dot](plots/{name})\n"
        _write(out / "report.md", text)
    except OSError as error:
        raise RunError(f"Cannot write the report to {out}: {error.strerror}. Choose another --out.") from error
    return text


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
