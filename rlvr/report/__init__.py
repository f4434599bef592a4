"""The report: run directories -> one self-contained page, the same in Markdown, and a table for the terminal.

`summarise` reads and computes, `to_html` and `to_markdown` only show: nothing here is called from the loop,
and nothing is asked of a run but the files that it wrote. A half-finished run is shown with what it lacks.
"""

from rlvr.report.html import to_html
from rlvr.report.markdown import to_markdown
from rlvr.report.summarise import summarise
from rlvr.report.terminal import eval_table, sweep_table
from rlvr.report.write import write_report

__all__ = ["eval_table", "summarise", "sweep_table", "to_html", "to_markdown", "write_report"]
