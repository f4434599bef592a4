"""Write the report: the page, the Markdown and the figures, each file whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

from rlvr.core.errors import RunError
from rlvr.core.files import replacing
from rlvr.report.figures import draw
from rlvr.report.html import to_html
from rlvr.report.markdown import to_markdown
from rlvr.report.summarise import summarise


def write_report(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write report.html, report.md and plots/*.svg to the folder `out`; return the path of the page.

    An existing report is replaced. Raises RunError for a directory that is none of a run, or an `out` that
    cannot be written.
    """
    summary = summarise(run_dirs)
    drawings = draw(summary)
    try:
        (out / "plots").mkdir(parents=True, exist_ok=True)
        for drawing in drawings:
            _write(out / "plots" / drawing.file, drawing.svg)
        _write(out / "report.md", to_markdown(summary, drawings))
        _write(out / "report.html", to_html(summary, drawings))
    except OSError as error:
        raise RunError(f"Cannot write the report to {out}: {error.strerror}. Choose another --out.") from error
    return out / "report.html"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
