"""Select the rows that the student profits from, by the rule of Selective Reflection-Tuning (2402.10110).

A row has an original pair and up to three rewrites by some teacher:

    original = (x, y)   instruction = (x', y')   both = (x', y'')   response = (x, y*)

1. x' replaces x where it makes the reply harder for *this* student:        IFD(instruction) > IFD(original)
2. a rewritten reply replaces the reply where it tells the prompt better:   r-IFD(rewritten) < r-IFD(base)
3. the winner is kept if its parts belong together:                         IFD < max_ifd and r-IFD < max_rifd

Where step 2 improves nothing the paper's algorithm keeps the winner so far (`unimproved="keep"`, our default: a small
warm-up set must not lose its sound rows), and the released code drops the row (`unimproved="drop"`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.problems.worked import Chat, as_chat, as_text
from rlvr.select.ifd import PairScore

CANDIDATES = ("original", "instruction", "response", "both")
UNIMPROVED = ("keep", "drop")
Pair = tuple[Chat, str]
ScorePairs = Callable[[Sequence[Pair]], Sequence[PairScore | None]]


@dataclass(frozen=True)
class Decision:
    """Hold what becomes of a row: the candidate that is kept (None: the row is dropped), and why."""

    kept: str | None
    reason: str


def decide(
    scores: Mapping[str, PairScore | None], unimproved: str = "keep", max_ifd: float = 1.0, max_rifd: float = 1.0
) -> Decision:
    """Apply the rule to the scores of one row's candidates; a candidate that is absent or None cannot win.

    >>> decide({"original": PairScore(0.5, 0.8), "response": PairScore(0.6, 0.7)})
    Decision(kept='response', reason='response improved')
    >>> decide({"original": PairScore(0.5, 0.8), "response": PairScore(0.6, 0.9)}, unimproved="drop")
    Decision(kept=None, reason='unimproved')
    """
    original, instruction = scores.get("original"), scores.get("instruction")
    if original is None:
        return Decision(None, "too long")
    harder = instruction is not None and instruction.ifd > original.ifd
    winner, rewritten = ("instruction", "both") if harder else ("original", "response")
    base, reply = scores[winner], scores.get(rewritten)
    assert base is not None
    improved = reply is not None and reply.rifd < base.rifd
    if improved:
        winner, base = rewritten, reply
    elif unimproved == "drop":
        return Decision(None, "unimproved")
    assert base is not None
    if not (base.ifd < max_ifd and base.rifd < max_rifd):
        return Decision(None, "misaligned")
    steps = [name for name, done in (("instruction", harder), ("response", improved)) if done]
    return Decision(winner, f"{' and '.join(steps)} improved" if steps else "no rewrite is better")


def candidates(row: Mapping[str, Any]) -> dict[str, Pair]:
    """Return the pairs of a row: its own, and those of its `rewrites` object, if any.

    `rewrites: {"instruction": {"prompt", "completion"}, "response": {"completion"}, "both": {"completion"}}`; the
    prompt of "response" is the row's own, that of "both" the instruction's. Raises DataError naming what is missing.

    >>> row = {"id": "1", "prompt": "2+2?", "completion": "4", "rewrites": {"response": {"completion": "2+2=4"}}}
    >>> {name: reply for name, (_, reply) in candidates(row).items()}
    {'original': '4', 'response': '2+2=4'}
    """
    where, rewrites = f"Row {row['id']!r}", row.get("rewrites") or {}
    if not isinstance(rewrites, dict) or not all(isinstance(r, dict) for r in rewrites.values()):
        raise DataError(f"{where}, column 'rewrites': expected an object of objects, found {rewrites!r:.80}.")
    for name in rewrites:
        if name not in CANDIDATES[1:]:
            raise DataError(f"{where}: {did_you_mean('rewrite', name, CANDIDATES[1:])}")
    if "both" in rewrites and "instruction" not in rewrites:
        raise DataError(f"{where} has a rewrite 'both' but no 'instruction', whose prompt it takes.")
    chat = as_chat(row.get("prompt"), f"{where}, column 'prompt'")
    prompts = {"original": chat, "response": chat}
    if "instruction" in rewrites:
        new = as_chat(rewrites["instruction"].get("prompt"), f"{where}, prompt of the rewrite 'instruction'")
        prompts |= {"instruction": new, "both": new}
    texts = {"original": row, **rewrites}
    return {
        name: (prompts[name], as_text(texts[name].get("completion"), f"{where}, completion of {name!r}"))
        for name in CANDIDATES
        if name in texts
    }


class StudentSelector(BaseEstimator):
    """Choose, for every row, the candidate that this student profits from; scikit-learn's fit and transform.

    Args:
        score_pairs: (chat, reply) pairs -> PairScore or None each; see `rlvr.select.ifd.score_pairs`.
        unimproved: "keep" (the paper) or "drop" (its released code) rows of which no reply was improved.
        threshold: what both ratios must stay below. A number (the paper's 1.0), or "shuffled", which asks this student:
            the 5% quantile, at most 1, of each ratio over originals paired with another row's reply.

    After `fit`: `scores_` and `decisions_`, one per row; `max_ifd_`, `max_rifd_`.
    """

    def __init__(self, score_pairs: ScorePairs, unimproved: str = "keep", threshold: float | str = 1.0):
        self.score_pairs = score_pairs
        self.unimproved = unimproved
        self.threshold = threshold

    def fit(self, rows: Sequence[Mapping[str, Any]]) -> "StudentSelector":
        """Score every candidate and decide; raises DataError for a malformed row before anything is scored."""
        self.check()
        pairs = [candidates(row) for row in rows]
        flat = iter(self.score_pairs([pair for row in pairs for pair in row.values()]))
        self.scores_ = [{name: next(flat) for name in row} for row in pairs]
        self.max_ifd_, self.max_rifd_ = self._thresholds([row["original"] for row in pairs])
        self.decisions_ = [decide(s, self.unimproved, self.max_ifd_, self.max_rifd_) for s in self.scores_]
        return self

    def check(self) -> None:
        """Raise SpecError for settings that mean nothing."""
        if self.unimproved not in UNIMPROVED:
            raise SpecError(did_you_mean("rule for unimproved rows", self.unimproved, UNIMPROVED))
        if self.threshold != "shuffled" and not (isinstance(self.threshold, int | float) and self.threshold > 0):
            raise SpecError(f"threshold must be a number above 0 or 'shuffled', found {self.threshold!r}.")

    def _thresholds(self, originals: Sequence[Pair]) -> tuple[float, float]:
        if isinstance(self.threshold, int | float):
            return float(self.threshold), float(self.threshold)
        scores = [s for s in self.score_pairs(mismatched(originals)) if s is not None]
        if not scores:
            raise DataError("threshold='shuffled' needs two rows with different replies that fit the context.")
        low = np.quantile([[s.ifd, s.rifd] for s in scores], 0.05, axis=0)
        return min(1.0, float(low[0])), min(1.0, float(low[1]))

    def transform(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the kept rows of the fitted data, with the prompt and the reply of the candidate that won."""
        kept = []
        for row, decision in zip(rows, self.decisions_, strict=True):
            if decision.kept:
                chat, reply = candidates(row)[decision.kept]
                columns = {k: v for k, v in row.items() if k != "rewrites"}
                kept.append(columns | {"prompt": chat, "completion": reply, "candidate": decision.kept})
        return kept

    def report(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return one dict per row: id, kept candidate or None, reason, scores, the candidates that did not fit."""
        return [
            {
                "id": row["id"],
                "kept": decision.kept,
                "reason": decision.reason,
                "scores": {
                    n: {k: round(v, 4) for k, v in asdict(s).items() if v is not None} for n, s in scores.items() if s
                },
                "too_long": [name for name, s in scores.items() if s is None],
            }
            for row, scores, decision in zip(rows, self.scores_, self.decisions_, strict=True)
        ]


def mismatched(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """Pair prompts with another row's reply, along a random cycle; pairs whose two replies are equal are left out."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    cycle = zip(order, np.roll(order, 1), strict=True)
    return [(pairs[i][0], pairs[j][1]) for i, j in cycle if pairs[i][1] != pairs[j][1]]
