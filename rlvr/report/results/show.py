"""Show tables in a notebook; every cell is escaped, because ids, tasks and notes may hold a model's text."""

from collections.abc import Iterable
from html import escape

from rlvr.report.show import visible
from rlvr.report.tables import Table


def html_table(table: Table) -> str:
    """Return a table as HTML, cells escaped.

    >>> html_table(Table(("task",), [("<b>",)]))
    '<table><thead><tr><th>task</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{_cell(text)}</th>" for text in table.headers)
    body = "".join("<tr>" + "".join(f"<td>{_cell(text)}</td>" for text in row) + "</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_lines(lines: Iterable[str]) -> str:
    """Return each line as a paragraph, escaped.

    >>> html_lines(["1 < 2"])
    '<p>1 &lt; 2</p>'
    """
    return "".join(f"<p>{_cell(line)}</p>" for line in lines)


def text(lines: Iterable[str]) -> str:
    """Join lines for a terminal: nothing in them acts (no escape sequence reaches it), no blanks at their ends.

    >>> text(["a  ", "b"])
    'a\\nb'
    """
    return "\n".join(visible(line).rstrip() for line in lines)


def _cell(value: str) -> str:
    return escape(visible(value))
