"""The one form that completions made elsewhere are brought into, whatever file they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StoredCompletion:
    """Hold one completion that was made elsewhere, and what is known of it; None is not known.

    Attributes:
        where: the file and the row, for messages.
        text: what the model said.
        id: the problem; None where only the prompt names it.
        messages: the prompt as chat messages; empty where it is not known.
        gold: the gold answer.
        facts: what a verifier needs beside the gold answer (`options`, `aliases`).
        task: the kind of the problem.
        answer: the answer, where it does not have to be read from the text.
        confidence: the probability of being right, in [0, 1].
        logp: the sum of the tokens' log-probabilities, in nats.
        tokens, truncated: the length, and whether it ran into its limit.
        correct: somebody's verdict.
        given: the fields that stand in the file, though they may be empty there; all others are read from the text.
    """

    where: str
    text: str
    id: str | None = None
    messages: list[dict[str, str]] = field(default_factory=list)
    gold: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    answer: str | None = None
    confidence: float | None = None
    logp: float | None = None
    tokens: int | None = None
    truncated: bool | None = None
    correct: bool | None = None
    given: frozenset[str] = frozenset()
