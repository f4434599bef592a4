"""Find where in a completion's tokens its confidence begins."""

from collections.abc import Sequence
from typing import Any

_TAG = "<confidence>"


def confidence_start(tokenizer: Any, ids: Sequence[int]) -> int:
    """Return how many tokens stand before the last `<confidence>` tag; all of them if there is none.

    A token that holds the end of the answer and the beginning of the tag counts as confidence. Found by bisection on
    the decoded prefix, so that it needs no offsets and holds for any tokenizer whose decoded prefixes grow.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True)
    at = text.rfind(_TAG)
    if at < 0:
        return len(ids)
    low, high = 0, len(ids)  # the decoded first `low` tokens end at or before the tag
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenizer.decode(ids[:middle], skip_special_tokens=True)) <= at:
            low = middle
        else:
            high = middle - 1
    return low
