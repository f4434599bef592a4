"""Open a report that was written, or show its link."""

import os
import webbrowser
from html import escape
from pathlib import Path


class Page:
    """Hold a page on disk, usable wherever a path is.

    >>> str(Page(Path("runs/demo/report.html")))
    'runs/demo/report.html'
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    def open(self) -> bool:
        """Open the page in a browser; return whether one was found."""
        return webbrowser.open(self.path.resolve().as_uri())

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Page({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.path.resolve().as_uri())}" target="_blank">{escape(str(self.path))}</a>'
