"""Make the chat messages of a problem: the instruction about the tags, then the problem's own."""

from collections.abc import Sequence

from rlvr.core.parse import system_prompt as default_system_prompt
from rlvr.core.records import Problem


def messages(problem: Problem, tags: Sequence[str], system_prompt: str | None = None) -> list[dict[str, str]]:
    """Return the chat messages for `problem`: a system message that explains the tags, then its own.

    `system_prompt` None derives the message from the tags; the empty string sends none.

    >>> messages(Problem("1", [{"role": "user", "content": "2 + 2?"}], "4"), ("answer",), "")
    [{'role': 'user', 'content': '2 + 2?'}]
    """
    text = default_system_prompt(tags) if system_prompt is None else system_prompt
    return ([{"role": "system", "content": text}] if text else []) + [dict(m) for m in problem.prompt]
