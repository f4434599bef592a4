"""Tell from a reward function's signature what it looks at: one completion, a group, a batch, or TRL's lists."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from rlvr.core.records import Completion

COMPLETION, GROUP, BATCH, TEXTS = "completion", "group", "batch", "texts"
_MANY = re.compile(r"(?i)\b(list|sequence|iterable|collection)\[.*\bCompletion\b")


def what_it_sees(function: Callable[..., Any]) -> str:
    """Return "completion", "group", "batch" or "texts"; TypeError for a function that takes none of these.

    The first parameter decides: `c`, or annotated Completion; `group`, the G completions of one problem; `batch`, the
    completions of all problems of a generation batch. A function with `completions` or **kwargs is of TRL's style.

    >>> what_it_sees(lambda c: 1.0), what_it_sees(lambda group: []), what_it_sees(lambda completions, **kwargs: [])
    ('completion', 'group', 'texts')
    """
    signature = inspect.signature(function)
    first = next(iter(signature.parameters.values()), None)
    annotation = "" if first is None else first.annotation
    if first is not None and (first.name == "c" or annotation in (Completion, "Completion")):
        return COMPLETION
    if first is not None and first.name in (GROUP, BATCH):
        return first.name
    written = annotation if isinstance(annotation, str) else repr(annotation)
    if _MANY.search(written):
        raise TypeError(f"it takes several completions: call the parameter {first.name!r} `group` or `batch`")  # type: ignore[union-attr]
    if any(p.name == "completions" or p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return TEXTS
    raise TypeError(f"its signature {signature} takes neither a Completion nor TRL's lists")


def is_trl_style(function: Callable[..., Any]) -> bool:
    """Return whether a function takes lists of texts, as TRL's do, not a Completion; TypeError where it takes neither.

    >>> is_trl_style(lambda completions, **kwargs: []), is_trl_style(lambda c: 1.0)
    (True, False)
    """
    sees = what_it_sees(function)
    if sees in (GROUP, BATCH):
        raise TypeError(f"it takes a {sees} of completions; here a function of one completion is wanted")
    return sees == TEXTS


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling a function gives a coroutine: `async def`, or an object whose __call__ is that.

    >>> async def judge(c): return 1.0
    >>> is_async(judge), is_async(len)
    (True, False)
    """
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
