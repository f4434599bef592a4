"""Read YAML, of recipes, ablations, a run's settings and flags alike: plain data, of a bounded size."""

from pathlib import Path
from typing import Any

import yaml

from rlvr.core.errors import SpecError

_CHARACTERS = 1_000_000  # of a file
_VALUES = 100_000  # with every alias written out: nine lines of aliases can stand for billions
_DEPTH = 50  # lists and mappings inside each other


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping with text keys; an empty file is an empty one.

    Raises:
        OSError: the file cannot be opened.
        SpecError: it is no UTF-8, no mapping, or nothing that `parse_yaml` takes; a key is not text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            settings = parse_yaml(file.read(_CHARACTERS + 1), str(path))
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        raise SpecError(f"{path} is not UTF-8 (byte 0x{wrong:02x}). Save it in that encoding.") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise SpecError(f"{path} must be a flat mapping of settings, found a {type(settings).__name__}.")
    for key in settings:
        if not isinstance(key, str):
            raise SpecError(
                f"{path}: the key {key!r} is read as {type(key).__name__}, not as text. Write it in quotes "
                "(YAML takes on, off, yes, no, null, numbers and dates for something else)."
            )
    return settings


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text into plain data of a bounded size; `where` names it in the errors.

    Raises SpecError where it is no YAML, or larger, deeper or more repetitive (aliases) than any settings are.

    >>> parse_yaml("{a: [1, x]}", "the flag")
    {'a': [1, 'x']}
    """
    if len(text) > _CHARACTERS:
        raise SpecError(f"{where} has over {_CHARACTERS} characters: these are no settings.")
    try:
        _check_size(where, text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a month 13, a number of 5,000 digits
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{where} is not YAML: {error}") from None


def _check_size(where: str, text: str) -> None:
    """Count the values that the text stands for, from its parts in order: no alias is followed while counting."""
    sizes: dict[str, int] = {}
    open_parts: list[tuple[str | None, int]] = []  # (anchor, values before it) of what is not closed yet
    values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_parts.append((event.anchor, values))
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_parts.pop()
            if anchor:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_parts):
                raise SpecError(f"{where}: the alias *{event.anchor} is inside what it stands for.")
            values += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor:
                sizes[event.anchor] = 1
            if any("\ud800" <= half <= "\udfff" for half in event.value):
                raise SpecError(
                    f"{where} holds half a character (a lone surrogate, as \\ud800), which no file can hold."
                )
        if values > _VALUES or len(open_parts) > _DEPTH:
            what = f"over {_VALUES} values, aliases written out" if values > _VALUES else f"over {_DEPTH} levels"
            raise SpecError(f"{where} holds {what}: these are no settings.")
