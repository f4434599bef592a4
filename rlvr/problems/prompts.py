"""Make the chat messages of a problem: the instruction about the form of answer, then the problem's own."""

from collections.abc import Sequence

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.records import Problem


def messages(
    problem: Problem, answers: AnswerFormat | str | Sequence[str], system_prompt: str | None = None
) -> list[dict[str, str]]:
    """Return the chat messages for `problem`: a system message that explains the form of answer, then its own.

    `answers` is an AnswerFormat, its spec, or a list of tags. `system_prompt` None derives the message from it; the
    empty string sends none.

    >>> messages(Problem("1", [{"role": "user", "content": "2 + 2?"}], "4"), ("answer",), "")
    [{'role': 'user', 'content': '2 + 2?'}]
    """
    text = AnswerFormat.of(answers).system_prompt() if system_prompt is None else system_prompt
    return ([{"role": "system", "content": text}] if text else []) + [dict(m) for m in problem.prompt]
