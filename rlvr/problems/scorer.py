"""Parse each sampled text once and verify it once: texts become Completion objects."""

from collections.abc import Sequence

from rlvr.core.parse import parse
from rlvr.core.records import Completion, Problem
from rlvr.problems.verifier import Verifier


class Scorer:
    """Turn texts into Completion objects with one parse and one verification each.

    Args:
        tags: the tags that the run asks for.
        verifier: judges answers under a wall-clock limit; its failures are counted in `verifier.errors`.
    """

    def __init__(self, tags: Sequence[str], verifier: Verifier):
        self.tags = tuple(tags)
        self.verifier = verifier

    def __call__(
        self,
        problems: Sequence[Problem],
        texts: Sequence[str],
        n_tokens: Sequence[int],
        truncated: Sequence[bool],
    ) -> list[Completion]:
        """Score texts in order; `correct` is None where the verifier itself failed."""
        parsed = [parse(text, self.tags) for text in texts]
        verdicts = self.verifier.verify_many(
            [(p.answer, problem.answer) for p, problem in zip(parsed, problems, strict=True)]
        )
        return [
            Completion(problem, text, p.answer, p.confidence, p.format_ok, verdict, tokens, cut)
            for problem, text, p, verdict, tokens, cut in zip(
                problems, texts, parsed, verdicts, n_tokens, truncated, strict=True
            )
        ]
