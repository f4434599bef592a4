"""The arms of student_selected.py: which pair of each row, if any, is trained on."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from rlvr.select.ifd import PairScore
from rlvr.select.student import Pair, candidates, decide, mismatched

Scores = Sequence[Mapping[str, PairScore | None]]
ARMS = {
    "original": "the rows as they are",
    "all_teacher": "question and reply rewritten",
    "random": "one of the four at random",
    "shuffled": "originals with another row's reply",
    "ifd_only": "the highest IFD below 1",
    "released": "the rule of the released code",
    "student": "the paper's rule",
    "other_student": "the paper's rule, for another student",
    "verified": "one of the right ones at random",
    "verify_student": "wrong ones aside, the paper's rule",
    "verify_ifd": "of the verified, the half with the highest IFD",
}
BASES = (("original", "response"), ("instruction", "both"))  # a reply and what would take its place


def chosen(
    arm: str, rows: Sequence[Mapping[str, Any]], scores: Scores, is_right: Callable[[Pair], bool], seed: int
) -> list[Pair]:
    """Return the pairs that an arm chooses of a pool; `scores` are those of the student for whom it chooses."""
    pairs, draw = [candidates(row) for row in rows], random.Random(f"arm/{seed}")
    if arm == "shuffled":
        return mismatched([pair["original"] for pair in pairs], seed)
    if arm in ("original", "all_teacher", "random"):
        name = {"original": "original", "all_teacher": "both"}.get(arm)
        return [pair[name or draw.choice(list(pair))] for pair in pairs]
    kept: list[tuple[Pair, PairScore | None]] = []
    for pair, score in zip(pairs, scores, strict=True):
        name = _one(arm, score, {name for name in pair if is_right(pair[name])}, draw)
        kept += [] if name is None else [(pair[name], score[name])]
    if arm == "verify_ifd":
        kept = sorted(kept, key=lambda one: -one[1].ifd if one[1] else 0.0)[: len(kept) // 2]
    return [pair for pair, _ in kept]


def _one(arm: str, score: Mapping[str, PairScore | None], right: set[str], draw: random.Random) -> str | None:
    """Return the candidate of one row that an arm keeps; None: it drops the row."""
    if arm in ("verified", "verify_ifd"):
        return draw.choice(sorted(right)) if right else None
    if arm == "ifd_only":
        fits = {name: s for name, s in score.items() if s and s.ifd < 1}
        return max(fits, key=lambda name: fits[name].ifd) if fits else None
    if arm == "verify_student":  # a wrong rewrite cannot win, and a wrong winner is dropped
        winner = decide({name: s for name, s in score.items() if name in right or name == "original"}).kept
        return winner if winner in right else None
    return decide(score, "drop" if arm == "released" else "keep").kept


def told(rows: Sequence[Mapping[str, Any]], scores: Scores, kind: str) -> float:
    """Return the AUROC of "this rewrite is bad" by r-IFD(rewrite) - r-IFD(reply before), bad `kind` against sound."""
    worse, bad = [], []
    for row, score in zip(rows, scores, strict=True):
        for before, after in BASES:
            one, other = score[before], score[after]
            if row["kind"] in ("sound", kind) and one and other:
                worse.append(other.rifd - one.rifd)
                bad.append(row["kind"] == kind)
    return float(roc_auc_score(bad, worse))


def unimproved(scores: Scores) -> float:
    """Return the share of rows of which the paper's rule keeps the reply as it was."""
    kept = [decide(score).kept for score in scores]
    return float(np.mean([name in ("original", "instruction") for name in kept]))
