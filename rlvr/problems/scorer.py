"""Parse each sampled text once and verify it once: texts become Completion objects."""

from collections.abc import Sequence
from typing import Any, Self

from rlvr.core.answer_format import AnswerFormat, opens_thinking
from rlvr.core.console import warn_once
from rlvr.core.records import Completion, Problem
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier


class Scorer:
    """Turn texts into Completion objects with one parse and one verification each; `with` stops its verifier's process.

    Args:
        answers: the form in which answers are given: an AnswerFormat, its spec ("boxed"), or a list of tags.
        verifier: judges answers under a wall-clock limit; its failures are counted in `verifier.errors`.
    """

    def __init__(self, answers: AnswerFormat | str | Sequence[str], verifier: Verifier):
        self.answers = AnswerFormat.of(answers)
        self.verifier = verifier

    @classmethod
    def of(cls, data: str | ProblemSet, answers: AnswerFormat | str | Sequence[str], timeout: float = 2.0) -> Self:
        """Return the scorer of one problem set; its verifier may take `timeout` seconds for an answer.

        >>> with Scorer.of("arithmetic", "boxed") as score:
        ...     [c] = score([Problem("1", [], "42")], ["It is \\\\boxed{42}."], [9], [False])
        >>> c.correct, c.format_ok
        (True, True)
        """
        return cls(answers, Verifier(data, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop the verifier's process, if there is one."""
        self.verifier.close()

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the parts that the form asks for: always `answer`, perhaps `think`, `confidence`."""
        return self.answers.tags

    def __call__(
        self,
        problems: Sequence[Problem],
        texts: Sequence[str],
        n_tokens: Sequence[int],
        truncated: Sequence[bool],
        prompt_end: str | None = None,
    ) -> list[Completion]:
        """Score texts in order; `correct` is None where the verifier itself failed.

        `prompt_end` is how the prompts end (`rlvr.models.chat.prompt_end`), None where nobody knows: a template may
        have opened the thinking there.
        """
        if self.answers.thinking == "none" and opens_thinking(prompt_end):
            warn_once(
                f"the chat template opens <think> in every prompt, and the answer format {str(self.answers)!r} has no "
                "place for it, so no completion has the form: take thinking='native', or 'tags'"
            )
        parsed = [self.answers.parse(text, prompt_end) for text in texts]
        verdicts = self.verifier.verify_many(
            [(p.answer, problem.answer) for p, problem in zip(parsed, problems, strict=True)]
        )
        return [
            Completion(problem, text, p.answer, p.confidence, p.format_ok, verdict, tokens, cut)
            for problem, text, p, verdict, tokens, cut in zip(
                problems, texts, parsed, verdicts, n_tokens, truncated, strict=True
            )
        ]
