"""Find and load the files of `rewards/` and `data/`, and read specs: `name(param=value, ...)`.

One grammar serves every place where a recipe names something: reward terms, problem sets, advantage
transforms. A spec is a built-in name or a path ending in `.py`, an optional `:function`, and optional
keyword parameters that are Python literals (never evaluated):

    brier    length(target=64)    arithmetic(levels=[0, 1, 2])    ./mine.py:my_reward(scale=2)
"""

import ast
import hashlib
import importlib.util
import math
import multiprocessing
import os
import re
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rlvr.core.errors import RlvrError, SpecError, did_you_mean
from rlvr.core.worker import ProcessExpired, Worker, is_worker

_SPEC = re.compile(r"\s*(?P<name>[^\s(),:]+?(?:\.py)?)(?::(?P<attr>\w+))?\s*(?P<args>\(.*\))?\s*", re.DOTALL)
_WHAT = {"rewards": "reward term", "data": "problem set"}


@dataclass(frozen=True)
class Spec:
    """Hold a parsed spec: what is named, the function inside it if one was given, and its parameters.

    >>> parse_spec("length(target=64)")
    Spec(name='length', attr=None, params=(('target', 64),))
    """

    name: str
    attr: str | None = None
    params: tuple[tuple[str, Any], ...] = ()

    @property
    def is_path(self) -> bool:
        """Return whether the spec names a file of the user's rather than something built in."""
        return self.name.endswith(".py")

    def __str__(self) -> str:
        args = ", ".join(f"{key}={value!r}" for key, value in self.params)
        return f"{self.name}{':' + self.attr if self.attr else ''}{f'({args})' if args else ''}"


def parse_spec(text: str) -> Spec:
    """Parse one spec; raises SpecError when it is not of the form `name(param=literal, ...)`.

    >>> str(parse_spec("./mine.py:my_reward(scale=2)"))
    './mine.py:my_reward(scale=2)'
    """
    match = _SPEC.fullmatch(text)
    if not match:
        raise SpecError(f"Cannot read the spec {text!r}. Write a name, or name(param=value, ...).")
    try:
        call = ast.parse(f"f{match['args'] or '()'}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError("parameters must be given by name")
        params = tuple((str(k.arg), _freeze(ast.literal_eval(k.value))) for k in call.keywords)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or error
        raise SpecError(
            f"Cannot read the parameters of {text!r}: {reason}. Write name(param=value, ...) with numbers, "
            "strings, lists, True, False or None."
        ) from None
    return Spec(match["name"], match["attr"], params)


def parse_specs(text: str) -> list[Spec]:
    """Parse specs separated by commas at the top level.

    >>> [str(s) for s in parse_specs("grpo, drop_near_impossible(threshold=0.05, prior=(1, 1))")]
    ['grpo', 'drop_near_impossible(threshold=0.05, prior=(1, 1))']
    """
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    if not all(part.strip() for part in parts):
        raise SpecError(f"Empty entry in {text!r}. Write specs separated by single commas.")
    return [parse_spec(part) for part in parts]


def slug(text: str) -> str:
    """Turn a spec, or any text, into a file name.

    >>> slug("arithmetic(levels=[0, 1], mode='mod')")
    'arithmetic-levels-0-1-mode-mod'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "unnamed"


def _freeze(value: Any) -> Any:
    """Turn lists into tuples so that a spec is hashable and comparable."""
    return tuple(_freeze(v) for v in value) if isinstance(value, list | tuple) else value


def folder(kind: str) -> Path:
    """Return the folder of built-in content: inside the installed package, or the checkout's own."""
    packaged = Path(__file__).parents[1] / "_content" / kind
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / kind


def names(kind: str) -> dict[str, Path]:
    """Return every built-in name of `kind` ("rewards" or "data") with its file."""
    return {p.stem: p for p in sorted(folder(kind).glob("*.py")) if not p.stem.startswith("_")}


def find(kind: str, name: str) -> Path:
    """Return the file that `name` (built in, or a path ending in .py) stands for, or raise SpecError."""
    if name.endswith(".py"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise SpecError(f"No file {name!r} (looked in {path.absolute().parent}).")
        return path.resolve()
    known = names(kind)
    if name not in known:
        raise SpecError(did_you_mean(_WHAT[kind], name, known, "Or give a path ending in .py."))
    return known[name]


@cache
def _import(path: Path) -> ModuleType:
    if path.resolve().parent not in (folder("rewards").resolve(), folder("data").resolve()):
        _try_import(path)
    return _import_here(path)


def import_limit() -> float:
    """Return the seconds that importing a user's file may take: RLVR_IMPORT_SECONDS, by default 60; 0 is no limit."""
    text = os.environ.get("RLVR_IMPORT_SECONDS", "60")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise SpecError(f"RLVR_IMPORT_SECONDS must be a number of seconds, 0 for no limit, found {text!r}.")
    return seconds


def _try_import(path: Path) -> None:
    """Import a user's file in a process first: one that hangs there can be killed, one that exits ends only that."""
    limit = import_limit()
    if not limit or is_worker() or multiprocessing.current_process().daemon:  # a daemon may start no process
        return
    with closing(Worker(limit, _be_quiet)) as worker:
        [attempt] = worker.call(_import_nothing_else, [(path,)])
    try:
        attempt.result()
    except TimeoutError:
        raise SpecError(
            f"{path} takes longer than {limit:g} s to import. Move what is slow or waits into a function, or raise the "
            "limit: the environment variable RLVR_IMPORT_SECONDS (0 is no limit)."
        ) from None
    except ProcessExpired as error:
        raise SpecError(f"{path} ends Python when it is imported (exit status {error.exitcode}).") from None


def _be_quiet() -> None:
    """Drop what this process prints: the import that counts prints it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def _import_nothing_else(path: Path) -> None:
    _import_here(path)


def _import_here(path: Path) -> ModuleType:
    name = f"rlvr_content_{path.stem}_{hashlib.sha1(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RlvrError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit(0) too: it would end the run as if all were done
        sys.modules.pop(name, None)
        raise SpecError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def import_file(kind: str, name: str) -> ModuleType:
    """Import the file that `name` stands for, once per process.

    >>> import_file("rewards", "correct").__name__.startswith("rlvr_content_correct_")
    True
    """
    return _import(find(kind, name))


load = import_file  # its name before 2026-11-24
