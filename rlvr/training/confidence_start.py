"""Find where in a completion's tokens its confidence begins."""

from collections.abc import Sequence
from typing import Any

from rlvr.core.answer_format import DEFAULT, AnswerFormat


def confidence_start(tokenizer: Any, ids: Sequence[int], answers: AnswerFormat = DEFAULT) -> int:
    """Return how many tokens stand before the last statement of a confidence; all of them if there is none.

    That is the `<confidence>` tag, or the line that the form of answer asks for. A token that holds the end of the
    answer and the beginning of the statement counts as confidence. Found by bisection on
    the decoded prefix, so that it needs no offsets and holds for any tokenizer whose decoded prefixes grow.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True)
    span = answers.confidence_span(text)
    if span is None:
        return len(ids)
    at = span[0]
    low, high = 0, len(ids)  # the decoded first `low` tokens end at or before it
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenizer.decode(ids[:middle], skip_special_tokens=True)) <= at:
            low = middle
        else:
            high = middle - 1
    return low
