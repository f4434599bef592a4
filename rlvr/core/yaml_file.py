"""Read YAML files, recipes, ablations and a run's settings alike: plain data, of a bounded size."""

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
        SpecError: it is no UTF-8, no YAML, no mapping, or larger, deeper or more repetitive (aliases) than any
            settings are; a key is not text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_CHARACTERS + 1)
        if len(text) > _CHARACTERS:
            raise SpecError(f"{path} has over {_CHARACTERS} characters: these are no settings.")
        _check_size(path, text)
        found = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        raise SpecError(f"{path} is not UTF-8 (byte 0x{wrong:02x}). Save it in that encoding.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a month 13, a number of 5,000 digits
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} is not YAML: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SpecError(f"{path} must be a flat mapping of settings, found a {type(found).__name__}.")
    for key in found:
        if not isinstance(key, str):
            raise SpecError(
                f"{path}: the key {key!r} is read as {type(key).__name__}, not as text. Write it in quotes "
                "(YAML takes on, off, yes, no, null, numbers and dates for something else)."
            )
    return found


def _check_size(path: Path, text: str) -> None:
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
                raise SpecError(f"{path}: the alias *{event.anchor} is inside what it stands for.")
            values += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor:
                sizes[event.anchor] = 1
            if any("\ud800" <= half <= "\udfff" for half in event.value):
                raise SpecError(
                    f"{path} holds half a character (a lone surrogate, as \\ud800), which no file can hold."
                )
        if values > _VALUES or len(open_parts) > _DEPTH:
            what = f"over {_VALUES} values, aliases written out" if values > _VALUES else f"over {_DEPTH} levels"
            raise SpecError(f"{path} holds {what}: these are no settings.")
