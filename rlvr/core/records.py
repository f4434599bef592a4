"""The two values that every room passes on, Problem and Completion; without torch, so verifier processes start fast."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """Hold one problem: a stable id, the prompt (chat messages), the gold answer, and facts about it.

    `task` names the kind and level ("arithmetic/L2"); `meta` holds whatever the problem set knows.
    """

    id: str
    prompt: list[dict[str, str]]
    answer: Any
    task: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """Hold one sampled completion, parsed and verified once; what every reward term looks at.

    Attributes:
        problem: the problem it answers.
        text: the decoded completion, without special tokens.
        answer: what the form of answer reads (answer_format.py), such as the last answer tag or the last box; or None.
        confidence: the stated probability of being right, finite and in [0, 1], or None.
        format_ok: whether it has exactly the requested form, such as all the tags, once each, in order.
        correct: the verifier's verdict; None when the verifier itself failed (counted, never a silent 0).
        n_tokens: sampled tokens, the end token included.
        truncated: whether it ran into the length limit without an end token.
    """

    problem: Problem
    text: str
    answer: str | None = None
    confidence: float | None = None
    format_ok: bool = False
    correct: bool | None = False
    n_tokens: int = 0
    truncated: bool = False
