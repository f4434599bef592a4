"""Take an evaluation where Python gives one: an Evaluation, a Run, a file, a run directory, or what a file holds."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rlvr.core.errors import DataError
from rlvr.runs.eval_file import load_eval


class HasContents(Protocol):
    """Name what is used of `rlvr.Evaluation`, which stands in a room above this one."""

    contents: Mapping[str, Any]


class HasAfter(Protocol):
    """Name what is used of `rlvr.Run`: its evaluation after training."""

    @property
    def after(self) -> HasContents:
        """Return the evaluation after training."""
        ...


EvalSource = Mapping[str, Any] | HasContents | HasAfter | str | os.PathLike[str]


def eval_contents(source: EvalSource) -> Mapping[str, Any]:
    """Return what an evaluation holds; of a Run or a run directory, the evaluation after training.

    Raises DataError for anything else, for a file that is no evaluation, and for a directory that has none or several
    evaluations after training; RunError for such a Run.

    >>> eval_contents({"problems": []})
    {'problems': []}
    """
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str | os.PathLike):
        return load_eval(_file(Path(source)))
    if hasattr(source, "contents"):
        return source.contents
    if hasattr(source, "after"):
        return source.after.contents
    raise DataError(
        f"Expected an evaluation: an Evaluation, a Run, a file or what it holds. Found a {type(source).__name__}."
    )


def _file(path: Path) -> Path:
    """Return the file itself, or the only one in a run directory's eval/after."""
    if not path.is_dir():
        return path
    files = sorted((path / "eval" / "after").glob("*.json"))
    if len(files) == 1:
        return files[0]
    if not files:
        raise DataError(f"{path} holds no evaluation after training. Give an evaluation file: {path}/eval/*/*.json")
    raise DataError(f"{path} measured {len(files)} sets after training. Give one: {', '.join(map(str, files))}")
