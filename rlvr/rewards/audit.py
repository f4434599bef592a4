"""Find out before training whether a recipe's rewards can be gamed, by asking the terms themselves.

The whole recipe, terms with weights, is evaluated as a black box on made-up completions over a grid of stated
confidences q, read by the real parser of the form of answer that the recipe asks for. Three demands make it safe:

    no wrong pays    min_q R(right, q) >= max_q R(wrong, q), and likewise for "I don't know" (2607.04332)
    no gap pays      for every chance p of being right, leaving out, repeating or garbling a part, or breaking
                     the verifier, earns at most what the best well-formed answer earns in expectation
    no idle term     a term that reads the confidence needs a recipe that asks for one

Everything but being right, sure and well-formed is held equal: each completion has the same number of tokens,
and terms that look at the record get the same text (TRL-style functions see nothing but the text, so they get
the real one). So the audit does not say whether a length term is worth a wrong answer, or whether a random
term can be searched. A completion that no term scores counts as 0, as in TRL's sum.

What it cannot know it does not take for granted. A term that sees a group (or a batch) is asked about made-up groups of
four: three like the completion itself, three right ones, three wrong ones; other groups are not tried. An async term is
not asked at all (it may cost money, and the audit asks thousands of times): in the first demand it is taken to give its
most to what is wrong and nothing to what is right, the other two are of the rest of the recipe. `notes` say so.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import DataError, RlvrError
from rlvr.core.records import Completion, Problem
from rlvr.rewards.signatures import BATCH, COMPLETION, GROUP
from rlvr.rewards.terms import Term
from rlvr.rewards.total import weighted_sum

Q = np.linspace(0, 1, 101)  # stated confidences, and chances p of being right
PROBLEM = Problem("audit", [{"role": "user", "content": "How much is 6 * 7?"}], "42", "audit")
_STEPS = "Some steps, the same for all."
_TOKENS = 32
_GROUP = 4


@dataclass(frozen=True)
class Audit:
    """Hold the verdict on a recipe.

    Attributes:
        safe: whether nothing wrong, left out or garbled can earn more than honest work.
        proper: whether stating q = P(right) is best; None when the reward does not depend on q.
        reasons: one sentence with numbers for each thing that is not as it should be.
        remedy: what to do about a recipe that is not safe.
        notes: what was not asked, or only about some groups.
    """

    safe: bool
    proper: bool | None
    reasons: list[str] = field(default_factory=list)
    remedy: str = field(default="", repr=False, compare=False)
    notes: list[str] = field(default_factory=list, repr=False, compare=False)


def _holds(answers: AnswerFormat, gold: str) -> bool:
    """Return whether a text of the form can hold an answer."""
    try:
        answers.render("", gold, 0.5, "")
    except DataError:
        return False
    return True


@dataclass(frozen=True)
class _Bench:
    """Evaluate one recipe on made-up completions.

    `right` is the text of the right answer. `company` names what else is in a group of the completion: "", copies of
    it; "right" or "wrong" ones. `unknown` is what the terms that are not asked can add.
    """

    terms: Mapping[Term, float]
    answers: AnswerFormat
    problem: Problem
    right: str
    company: str = ""
    unknown: float = 0.0

    @classmethod
    def of(
        cls,
        terms: Mapping[Term, float],
        tags: AnswerFormat | str | Sequence[str],
        problem: Problem,
        gold: str | None = None,
    ) -> "_Bench":
        answers = AnswerFormat.of(tags)
        right = str(problem.answer) if gold is None else gold
        if problem is PROBLEM or not _holds(answers, right):
            right = answers.samples[0]
            problem = replace(problem, answer=right)
        asked = {term: weight for term, weight in terms.items() if not term.is_async}
        unasked = [math.inf if term.trl_style else weight for term, weight in terms.items() if term.is_async and weight]
        return cls(asked, answers, problem, right, unknown=math.fsum(unasked))

    @property
    def in_company(self) -> list["_Bench"]:
        """Return the benches to judge by: one, or three where a term sees a whole group."""
        if not any(term.sees in (GROUP, BATCH) for term in self.terms):
            return [self]
        return [replace(self, company=company) for company in ("", "right", "wrong")]

    @cached_property
    def others(self) -> list[Completion]:
        """Return the rest of a group; none where it is copies."""
        answer = {"right": self.right, "wrong": self.wrong}.get(self.company)
        return [] if answer is None else [self.completion(answer, 0.5)] * (_GROUP - 1)

    @property
    def wrong(self) -> str:
        return next(answer for answer in (self.answers.samples[1], "40") if answer != self.right)

    def worth(self, c: Completion) -> float:
        """Return the reward of `c`: a term sees the text only if it has nothing else to look at."""
        values = [math.nan if (value := self._value(term, c)) is None else value for term in self.terms]
        return float(weighted_sum(np.array(values), np.array(list(self.terms.values()))))

    def _value(self, term: Term, c: Completion) -> float | None:
        if term.trl_style:
            return term(c)
        alike = replace(c, text=_STEPS)
        if term.sees == COMPLETION:
            return term(alike)
        group = [alike, *(replace(other, text=_STEPS) for other in self.others or [c] * (_GROUP - 1))]
        return term.values(group, _GROUP)[0]

    def completion(self, answer: str, q: float, break_form: Callable[[str], str] = str) -> Completion:
        """Return what the parser and an exact verifier make of a perfect text after `break_form`.

        Right and wrong answers must read back; "I don't know" has no place in some forms.
        """
        write = self.answers.render if answer in (self.right, self.wrong) else self.answers.write
        text = break_form(write(_STEPS, answer, q, _STEPS))
        p = self.answers.parse(text)
        return Completion(
            self.problem, text, p.answer, p.confidence, p.format_ok, p.answer == self.right, n_tokens=_TOKENS
        )

    def over_q(self, answer: str, break_form: Callable[[str], str] = str, **changes) -> np.ndarray:
        return np.array([self.worth(replace(self.completion(answer, q, break_form), **changes)) for q in Q])

    def reads_confidence(self) -> bool:
        """Return whether the reward changes with the stated confidence, asked for or not."""
        cs = [self.completion(answer, 0.5) for answer in (self.right, self.wrong)]
        return any(np.ptp([self.worth(replace(c, confidence=q)) for q in Q]) > self.tolerance for c in cs)

    @property
    def tolerance(self) -> float:
        """Return the difference below which two rewards differ by rounding alone."""
        return 1e-9 * sum(self.terms.values())

    @property
    def among(self) -> str:
        """Return in words in which group a completion stands, where a term sees one."""
        return f", in a group of {self.company} answers," if self.company else ""


def broken_forms(answers: AnswerFormat) -> dict[str, Callable[[str], str]]:
    """Return ways to leave out, repeat or garble parts of a perfect text, by what they make of it."""
    place, other = answers.place, answers.samples[1]
    forms: dict[str, Callable[[str], str]] = {
        "an empty completion": lambda text: "",
        "a completion without any tag": lambda text: re.sub(r"<[^>]*>", " ", text),
        "a completion that says everything twice": lambda text: text * 2,
        "a completion that stops before its last tag": lambda text: text.rpartition("<")[0],
        "an unreadable confidence": lambda text: text.replace("</confidence>", "%</confidence>"),
    }
    for tag in answers.elements:
        element = re.compile(f"<{tag}>.*?</{tag}>", re.DOTALL)
        forms[f"a completion without <{tag}>"] = lambda text, element=element: element.sub("", text)  # type: ignore[misc]
    if answers.confidence == "line":
        forms["an unreadable confidence"] = lambda text: text + "%"
        forms["a completion without its last line"] = lambda text: text.rpartition("\n")[0]
    if place is not None:
        answer = place.write(other)
        forms["a completion without its answer"] = place.erase
        forms["a completion that stops half-way"] = lambda text: text[: len(text) // 2]
        forms["two answers, another one first"] = lambda text: f"{answer}\n{text}"
        forms["two answers, another one last"] = lambda text: f"{text}\n{answer}"
        forms["an answer in thinking that never ends"] = lambda text: f"<think>{text.replace('</think>', '')}"
    return forms


def _expected(right_Q: np.ndarray, wrong_Q: np.ndarray) -> np.ndarray:
    """Return E[reward] of shape (p, q): the chance p of being right in rows, the stated q in columns."""
    return np.outer(Q, right_Q) + np.outer(1 - Q, wrong_Q)


def properness(
    terms: Mapping[Term, float], tags: AnswerFormat | str | Sequence[str], problem: Problem = PROBLEM
) -> list[tuple[float, float]]:
    """Return (p, best q) for each chance p of being right on the grid: the q of largest expected reward.

    Among equally good q the one nearest to p; a proper recipe has |best q - p| <= 0.01, one step of the grid.

    >>> from rlvr.rewards.terms import load_terms
    >>> properness(load_terms({"brier": 1}), ("answer", "confidence"))[70]
    (0.7, 0.7)
    """
    bench = _Bench.of(terms, tags, problem)
    return _best_q(bench, bench.over_q(bench.right), bench.over_q(bench.wrong))


def _best_q(bench: _Bench, right_Q: np.ndarray, wrong_Q: np.ndarray) -> list[tuple[float, float]]:
    rows = []
    for p, row in zip(Q, _expected(right_Q, wrong_Q), strict=True):
        best = Q[row >= row.max() - bench.tolerance]
        rows.append((round(float(p), 6), round(float(best[np.abs(best - p).argmin()]), 6)))
    return rows


def safety(
    terms: Mapping[Term, float], tags: AnswerFormat | str | Sequence[str], problem: Problem = PROBLEM
) -> list[str]:
    """Return the reasons, with numbers, why the recipe can be gamed; empty if it is safe (see the module).

    >>> from rlvr.rewards.terms import load_terms
    >>> safety(load_terms({"brier": 1}), ("answer", "confidence"))[0]
    'a wrong answer at confidence 0.00 earns 1, a right one at confidence 0.00 earns 0'
    """
    benches = _Bench.of(terms, tags, problem).in_company
    reasons = [reason for b in benches for reason in _reasons(b, b.over_q(b.right), b.over_q(b.wrong))]
    return list(dict.fromkeys(reasons))


def _reasons(bench: _Bench, right_Q: np.ndarray, wrong_Q: np.ndarray) -> list[str]:
    reasons = []
    asked = bench.answers.asks_confidence

    def at(q: int) -> str:
        return f" at confidence {Q[q]:.2f}" if asked else ""

    worst = int(right_Q.argmin())
    bar = right_Q[worst] + bench.tolerance
    for what, worth_Q in {"a wrong answer": wrong_Q, '"I don\'t know"': bench.over_q("I don't know")}.items():
        best = int(worth_Q.argmax())
        if (most := worth_Q[best] + bench.unknown) > bar:
            bar = most + bench.tolerance  # the same finding is not told twice
            earns, only = ("may earn", "may earn only") if bench.unknown else ("earns", "earns")
            reasons.append(
                f"{what}{at(best)}{bench.among} {earns} {most:.4g}, a right one{at(worst)} {only} {right_Q[worst]:.4g}"
            )
    honest_P = _expected(right_Q, wrong_Q).max(1)
    gaps = {
        what: (bench.over_q(bench.right, form), bench.over_q(bench.wrong, form))
        for what, form in broken_forms(bench.answers).items()
    }
    unjudged_Q = bench.over_q(bench.wrong, correct=None)
    gaps["a completion that breaks the verifier"] = (unjudged_Q, unjudged_Q)
    for what, (gap_right_Q, gap_wrong_Q) in gaps.items():
        gap_P = _expected(gap_right_Q, gap_wrong_Q).max(1)
        p = int((gap_P - honest_P).argmax())
        if gap_P[p] > honest_P[p] + bench.tolerance:
            reasons.append(
                f"{what}{bench.among} earns {gap_P[p]:.4g} on average where the chance of being right is {Q[p]:.2f}, "
                f"the best well-formed one {honest_P[p]:.4g}"
            )
    if not asked and bench.reads_confidence():
        tagged = bench.answers.place is None
        form = f"the tags {bench.answers.tags} do" if tagged else f"the answer format {str(bench.answers)!r} does"
        reasons.append(f"the reward depends on the confidence, but {form} not ask for one")
    return reasons


def _remedy(bench: _Bench) -> str:
    """Return what to do about a recipe that is not safe."""
    if bench.answers.asks_confidence or not bench.reads_confidence():
        return "Give `correct` at least the weight of the terms that read the confidence"
    if bench.answers.place is None:
        return "Ask for a confidence (--tags ... confidence), or leave out the terms that read it"
    return (
        "Ask for a confidence, with confidence='tag' or 'line' in --answer_format, or leave out the terms that read it"
    )


def audit(
    terms: Mapping[Term, float],
    tags: AnswerFormat | str | Sequence[str],
    problem: Problem = PROBLEM,
    gold: str | None = None,
) -> Audit:
    """Return whether a recipe is safe and proper, and the numbers that say why not.

    `problem` is what the made-up completions answer, `gold` the text of its answer where that is no text; give a real
    one to terms that read its meta. A term that fails on them leaves the recipe unsafe: what cannot be checked is not
    known to be safe.

    >>> from rlvr.rewards.terms import load_terms
    >>> audit(load_terms({"correct": 1, "brier": 1}), ("answer", "confidence"))
    Audit(safe=True, proper=True, reasons=[])
    """
    bench = _Bench.of(terms, tags, problem, gold)
    notes = _notes(terms)
    reasons: list[str] = []
    try:
        curves = [(b, b.over_q(b.right), b.over_q(b.wrong)) for b in bench.in_company]
        for one, right_Q, wrong_Q in curves:
            reasons += [reason for reason in _reasons(one, right_Q, wrong_Q) if reason not in reasons]
    except RlvrError as error:
        remedy = "Mend the term so that it gives a value for any problem and completion"
        return Audit(False, None, [f"it cannot be checked on made-up completions: {error}"], remedy, notes)
    safe, remedy = not reasons, _remedy(bench) if reasons else ""
    if all(max(np.ptp(right_Q), np.ptp(wrong_Q)) <= bench.tolerance for _, right_Q, wrong_Q in curves):
        return Audit(safe, None, reasons, remedy, notes)
    best = [row for one, right_Q, wrong_Q in curves for row in _best_q(one, right_Q, wrong_Q)]
    p, q = max(best, key=lambda row: abs(row[0] - row[1]))
    proper = bool(abs(p - q) <= Q[1] + bench.tolerance)
    if not proper:
        reasons.append(f"with a chance {p:.2f} of being right, stating {q:.2f} pays best")
    return Audit(safe, proper, reasons, remedy, notes)


def _notes(terms: Mapping[Term, float]) -> list[str]:
    """Return what the audit did not ask."""
    seen = {term: term.sees for term in terms if term.sees in (GROUP, BATCH) and not term.is_async}
    notes = [
        f"{str(term)!r} sees a whole {sees}: it was tried on made-up groups of {_GROUP} (copies, among right ones, "
        "among wrong ones), and what it pays in others is not known"
        for term, sees in seen.items()
    ]
    return notes + [
        f"{str(term)!r} is async and was not asked: it is taken to pay a wrong answer all that it can and a right one "
        "nothing, and what it pays for a broken form or a stated confidence is not known"
        for term in terms
        if term.is_async
    ]


def assert_safe(
    terms: Mapping[Term, float],
    tags: AnswerFormat | str | Sequence[str],
    allow_hackable: bool = False,
    problem: Problem = PROBLEM,
    gold: str | None = None,
) -> Audit:
    """Return the audit of a recipe; raises RlvrError if it can be gamed and `allow_hackable` is False.

    An improper but safe recipe passes, with a reason in the audit: it rewards right answers, though not
    honest confidences.

    >>> from rlvr.rewards.terms import load_terms
    >>> assert_safe(load_terms({"correct": 1}), ("think", "answer")).safe
    True
    """
    result = audit(terms, tags, problem, gold)
    if not result.safe and not allow_hackable:
        recipe = ", ".join(f"{term}: {weight:g}" for term, weight in terms.items())
        raise RlvrError(
            f"The rewards {{{recipe}}} can be gamed: {'; '.join(result.reasons)}. {result.remedy}, or set "
            "allow_hackable: true to train anyway."
        )
    return result
