"""Measure each finished run of an ablation with a function of the user's, in a process of its own.

    def after(run: Path) -> dict:                     # run: the run directory, which rlvr.Run opens
        return {"pass@128": ..., "right": [...]}      # numbers, and lists of numbers, are compared

measured/<run>.jsonl gets a line for each measurement and loses none; the last one counts. A run is measured again when
the function's own lines change (helpers that it calls are not looked at), or another function is named.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.core.errors import SpecError
from rlvr.core.json_rows import json_text

if TYPE_CHECKING:  # what the measuring process need not load
    from rlvr.planning.ablation.arms import Run

TAKEN = ("pass@1", "ece", "brier", "confidence_missing", "updates", "rollout_tokens", "seconds", "seeds")


@dataclass(frozen=True)
class Measure:
    """Hold a function by its file and name, and a digest of its lines."""

    file: str
    function: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


def find_measure(measure: str | Callable[..., Any]) -> Measure:
    """Find the function that "path.py:function" names, or the file of a function; nothing is imported.

    Raises SpecError where there is no such file, or the function is not at its top level.
    """
    if not isinstance(measure, str):
        file, name = inspect.getsourcefile(measure), measure.__qualname__
        if file is None or not name.isidentifier():
            raise SpecError(
                f"measure= takes a function at the top level of a file, which a process of its own can import; found "
                f"{name!r}. Write it into a file and give 'path.py:function'."
            )
        measure = f"{file}:{name}"
    file, _, name = measure.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise SpecError(f"measure must be path.py:function, found {measure!r}.")
    if not Path(file).is_file():
        raise SpecError(f"measure: no file {file!r} (looked in {Path(file).absolute().parent}).")
    text = Path(file).read_text(encoding="utf-8")
    try:
        functions = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
    except SyntaxError as error:
        raise SpecError(f"measure: {file} is not Python: {error.msg}, line {error.lineno}.") from None
    if name not in functions:
        raise SpecError(f"measure: {file} has no function {name!r} at its top level; it has {', '.join(functions)}.")
    lines = ast.get_source_segment(text, functions[name]) or ""
    return Measure(file, name, hashlib.sha256(lines.encode()).hexdigest()[:16])


def measured_file(run: "Run", folder: Path) -> Path:
    """Return the file of a run's measurements."""
    return folder / "measured" / f"{run.name}.jsonl"


def read_measured(run: "Run", folder: Path) -> dict[str, Any]:
    """Return what was last measured of a run; empty where nothing was."""
    return _last(measured_file(run, folder)).get("values", {})


def is_measured(run: "Run", folder: Path, measure: Measure | None) -> bool:
    """Return whether a run was last measured by this function as it is now; True where there is nothing to measure."""
    last = _last(measured_file(run, folder))
    return measure is None or (last.get("measure"), last.get("source")) == (str(measure), measure.source)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the measured numbers, and the mean of each list of numbers; texts and nested values are only stored.

    >>> numbers({"pass@128": 0.5, "right": [0, 1, None], "note": "x"})
    {'pass@128': 0.5, 'right': 0.5}
    """
    found = {}
    for name, value in values.items():
        parts = [math.nan if one is None else one for one in (value if isinstance(value, list) else [value])]
        if parts and all(isinstance(one, int | float) and not isinstance(one, bool) for one in parts):
            known = [one for one in parts if not math.isnan(one)]
            found[name] = sum(known) / len(known) if known else math.nan
    return found


def command(measure: Measure, run: Path, file: Path) -> list[str]:
    """Return the command of the process that measures a run and appends the line."""
    return [sys.executable, "-m", "rlvr.planning.ablation.measure", str(measure), str(run), str(file)]


def main(spec: str, run: str, file: str) -> None:
    """Call the function on a run directory and append what it returns."""
    measure, start = find_measure(spec), time.perf_counter()
    sys.path.insert(
        0, str(Path(measure.file).resolve().parent)
    )  # as for `python path.py`: it may import its neighbours
    values = getattr(_import(Path(measure.file)), measure.function)(Path(run))
    if not isinstance(values, Mapping):
        raise SpecError(f"{measure} must return a dictionary of names and values, found {type(values).__name__}.")
    if taken := sorted(set(values) & set(TAKEN)):
        raise SpecError(f"{measure} returns {taken[0]!r}, a name that every ablation has. Choose another.")
    line = {"measure": str(measure), "source": measure.source, "seconds": round(time.perf_counter() - start, 1)}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with Path(file).open("ab") as lines:
        text = json_text(line | {"values": dict(values)}, default=_plain).encode() + b"\n"
        lines.write(b"\n" + text if lines.tell() and Path(file).read_bytes()[-1:] != b"\n" else text)


def _import(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"measure_{file.stem}", file)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _last(file: Path) -> dict[str, Any]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for line in reversed(lines):
        try:
            return dict(json.loads(line))
        except ValueError:  # cut off by a kill
            continue
    return {}


def _plain(value: Any) -> Any:
    """Return what NumPy or torch holds as Python's own lists and numbers."""
    return value.tolist()


if __name__ == "__main__":
    main(*sys.argv[1:])
