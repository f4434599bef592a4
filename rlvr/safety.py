"""Can a recipe's rewards be gamed? Found out before training, by asking the terms themselves.

The whole recipe, terms with weights, is evaluated as a black box on made-up completions over a grid of stated
confidences q, read by the real parser. Three demands:

    no wrong pays    min_q R(right, q) >= max_q R(wrong, q), and likewise for "I don't know"       (2607.04332)
    no gap pays      for every chance p of being right, leaving out, repeating or garbling a part, or breaking the
                     verifier, earns at most what the best well-formed completion earns in expectation
    no idle term     a term that reads the confidence needs a recipe that asks for one

Everything that is not about being right, well-formed or sure is held equal: each completion has the same number
of tokens, and terms that look at the record (not TRL-style functions, which see nothing else) get the same text.
So the audit does not say whether a length term is worth a wrong answer, or a random term noise. A completion that
no term scores counts as 0, as in TRL's sum.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rlvr.errors import RlvrError
from rlvr.parse import ordered, parse, render
from rlvr.rollouts import Completion, Problem
from rlvr.terms import Term, reward

Q = np.linspace(0, 1, 101)
PROBLEM = Problem("audit", [{"role": "user", "content": "How much is 6 * 7?"}], "42", "audit")
_STEPS = "Some steps, the same for all."
_TOKENS = 32
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Audit:
    """What was found: whether nothing wrong pays, whether q = P(right) is best (None: q does not count), why not."""

    safe: bool
    proper: bool | None
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Bench:
    """Evaluates one recipe on made-up completions."""

    terms: Mapping[Term, float]
    tags: tuple[str, ...]
    problem: Problem

    def worth(self, c: Completion) -> float:
        """Return the reward of `c`, 0 if no term scores it."""
        total = 0.0
        for term, weight in self.terms.items():
            value = reward({term: weight}, c if term.trl_style else replace(c, text=_STEPS))[1]
            total += 0.0 if np.isnan(value) else value
        return total

    def record(self, text: str, correct: bool | None) -> Completion:
        p = parse(text, self.tags)
        return Completion(self.problem, text, p.answer, p.confidence, p.format_ok, correct, _TOKENS)

    def text(self, answer: str, q: float) -> str:
        return render(_STEPS, answer, q, _STEPS, self.tags)

    @property
    def answers(self) -> tuple[str, str]:
        """A right and a wrong answer."""
        right = str(self.problem.answer)
        return right, "41" if right != "41" else "40"

    def over_q(self, form: Callable[[str, float], str], answer: str) -> np.ndarray:
        """Return the worth at each q of the grid; `correct` is what an exact verifier would say of what was read."""
        records = [self.record(form(answer, q), None) for q in Q]
        return np.array([self.worth(replace(c, correct=c.answer == self.answers[0])) for c in records])

    def reads_confidence(self) -> bool:
        """Whether the reward changes with q, asked for or not."""
        for answer, correct in zip(self.answers, (True, False), strict=True):
            c = self.record(self.text(answer, 0.5), correct)
            if np.ptp([self.worth(replace(c, confidence=q)) for q in Q]) > _TOLERANCE:
                return True
        return False

    def broken_forms(self) -> dict[str, Callable[[str, float], str]]:
        """Return every way that we know of to leave out, repeat or garble a part: (answer, q) -> text."""

        def without(tag: str):
            rest = tuple(t for t in self.tags if t != tag)
            return lambda answer, q: self.text(answer, q).replace(_cut(self.text(answer, q), tag), "") if rest else ""

        forms: dict[str, Callable[[str, float], str]] = {
            "that is empty": lambda answer, q: "",
            "without tags": lambda answer, q: f"{answer} {q}",
            "that says everything twice": lambda answer, q: self.text(answer, q) * 2,
            "that stops before its last tag": lambda answer, q: self.text(answer, q).rpartition("<")[0],
            **{f"without <{tag}>": without(tag) for tag in self.tags},
        }
        if "confidence" in self.tags:
            forms["with an unreadable confidence"] = lambda answer, q: self.text(answer, q).replace(
                f"<confidence>{float(q)!r}", f"<confidence>{q:.0%}"
            )
        return forms
