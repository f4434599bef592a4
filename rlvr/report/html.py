"""Write the report as one page that needs no network: inline style, figures and script, everything else escaped."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rlvr.report import tables
from rlvr.report.figures import Drawing, draw
from rlvr.report.glossary import GLOSSARY, INTERVALS
from rlvr.report.show import number, visible
from rlvr.report.validation import validation_table

HERE = Path(__file__).parent


def to_html(summary: Mapping[str, Any], drawings: Sequence[Drawing] | None = None) -> str:
    """Return the page of a summary; `drawings` are its figures where the caller has them already.

    Completions are untrusted: all text is escaped, and a content security policy lets no script run but the
    page's own, known by its hash.
    """
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            summary=summary,
            drawings=draw(summary) if drawings is None else drawings,
            tables=tables,
            validation_table=validation_table,
            glossary=GLOSSARY,
            intervals=INTERVALS,
            style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Runs before escaping, on every value: no control character or direction mark reaches the page.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["number"] = number
    environment.filters["svg"] = Markup  # for our own figures only; matplotlib has escaped the labels
    environment.filters["yaml"] = lambda value: yaml.safe_dump(value, allow_unicode=True)
    return environment
