"""Read an evaluation as flat arrays, and align two of them by problem."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import DataError, did_you_mean
from rlvr.measure.metrics.pairs import ratio
from rlvr.measure.metrics.vote import confidence_weighted_vote, majority, vote_accuracy, vote_share

CONFIDENCES = ("stated", "expected", "sequence", "sequence_mean", "vote")


@dataclass(frozen=True)
class EvalArrays:
    """Hold the samples of an evaluation: S samples of P problems, P named by `problem_S`.

    Attributes:
        tasks: the task of each problem.
        problem_S: index of the problem of each sample.
        correct_S: 1, 0, or NaN where the verifier failed.
        confidence_S: in [0, 1], or NaN where there is none.
        tokens_S, format_ok_S, truncated_S: as in the evaluation file, as floats; NaN where it is not known.
        p_P: the computed chance of each problem (rlvr/measure/exact.py), NaN where it was sampled only.
        n_P: samples with a verdict per problem.
        c_P: right ones among them.
        majority_P: chance that the majority answer is right; NaN where the verifier failed.
        weighted_P: the same for the confidence-weighted vote; NaN too where no sample has a confidence.
        n: samples that every problem has, as the evaluation says; None where it does not.
    """

    tasks: tuple[str, ...]
    problem_S: NDArray[np.int64]
    correct_S: NDArray[np.float64]
    confidence_S: NDArray[np.float64]
    tokens_S: NDArray[np.float64]
    format_ok_S: NDArray[np.float64]
    truncated_S: NDArray[np.float64]
    p_P: NDArray[np.float64]
    n_P: NDArray[np.int64]
    c_P: NDArray[np.int64]
    majority_P: NDArray[np.float64]
    weighted_P: NDArray[np.float64]
    n: int | None = None

    @staticmethod
    def of(eval: Mapping[str, Any], confidence: str = "stated") -> "Records":
        """Return the samples of an evaluation, with confidence from one of `CONFIDENCES`.

        stated: what the completion said. expected: `q_expected`, what it would say on average (DataError where that
        was not computed; None where nothing was stated). sequence: exp(logp), the probability of the whole sampled
        sequence. sequence_mean: exp(logp / tokens), the geometric mean probability of a token. vote: the share of
        the problem's samples with the same answer. None means missing in each case, and is never imputed.
        """
        if confidence not in CONFIDENCES:
            raise DataError(did_you_mean("confidence", confidence, CONFIDENCES))
        problems = eval["problems"]
        P, samples = len(problems), [sample for problem in problems for sample in problem["samples"]]
        problem_S = np.repeat(np.arange(P), [len(problem["samples"]) for problem in problems])
        per_problem = [sample_confidences(problem["samples"], confidence) for problem in problems]
        votes = [_votes(p["samples"], q) for p, q in zip(problems, per_problem, strict=True)]
        correct_S = _floats([sample["correct"] for sample in samples])
        return EvalArrays(
            tasks=tuple(str(problem["task"]) for problem in problems),
            problem_S=problem_S,
            correct_S=correct_S,
            confidence_S=_floats([q for mine in per_problem for q in mine]),
            tokens_S=_floats([sample["tokens"] for sample in samples]),
            format_ok_S=_floats([sample["format_ok"] for sample in samples]),
            truncated_S=_floats([sample["truncated"] for sample in samples]),
            p_P=_floats([problem.get("p") for problem in problems]),
            n_P=np.bincount(problem_S[~np.isnan(correct_S)], minlength=P),
            c_P=np.bincount(problem_S[correct_S == 1], minlength=P),
            majority_P=_floats([vote[0] for vote in votes]),
            weighted_P=_floats([vote[1] for vote in votes]),
            n=eval.get("n"),
        )

    @property
    def n_problems(self) -> int:
        """Return P, the number of problems."""
        return len(self.tasks)

    @property
    def rate_P(self) -> NDArray[np.float64]:
        """Return pass@1 of each problem: its computed chance, or the share of right samples; NaN without verdicts."""
        return np.where(np.isnan(self.p_P), ratio(self.c_P, self.n_P), self.p_P)

    @property
    def has_pair_S(self) -> NDArray[np.bool_]:
        """Return which samples have both a verdict and a confidence: the pairs of every calibration metric."""
        return ~np.isnan(self.correct_S) & ~np.isnan(self.confidence_S)

    def pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return confidence, correct and problem index of the pairs, as `reliability_table` takes them."""
        pair = self.has_pair_S
        return self.confidence_S[pair], self.correct_S[pair], self.problem_S[pair]


Records = EvalArrays  # its name before 2026-11-24


def _floats(values: list[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=float)


def sample_confidences(samples: list[dict[str, Any]], kind: str) -> list[float | None]:
    """Return the confidence of each sample of one problem, of a kind that `EvalArrays.of` explains.

    >>> sample_confidences([{"confidence": 0.5}, {"confidence": None}], "stated")
    [0.5, None]
    """
    if kind == "stated":
        return [sample["confidence"] for sample in samples]
    if kind == "expected":
        if not all("q_expected" in sample for sample in samples):
            raise DataError("This evaluation holds no expected confidences. Measure again with --q_expected true.")
        return [None if sample["confidence"] is None else sample["q_expected"] for sample in samples]
    if kind == "vote":
        return vote_share([sample["answer"] for sample in samples])
    lengths = [sample["tokens"] if kind == "sequence_mean" else 1 for sample in samples]  # None: not known
    return [  # logp <= 0 up to rounding, so the exponential may exceed 1 by as much
        None if sample["logp"] is None or not length else min(1.0, math.exp(sample["logp"] / length))
        for sample, length in zip(samples, lengths, strict=True)
    ]


def _votes(samples: list[dict[str, Any]], confidences: list[float | None]) -> tuple[float, float]:
    if not samples:  # nobody voted
        return math.nan, math.nan
    answers, correct = [s["answer"] for s in samples], [s["correct"] for s in samples]
    plain = vote_accuracy(majority(answers), answers, correct)
    if all(confidence is None for confidence in confidences):  # no weights: not a vote, rather than a wrong one
        return plain, math.nan
    return plain, vote_accuracy(confidence_weighted_vote(answers, confidences), answers, correct)


def align(
    before: Mapping[str, Any], after: Mapping[str, Any], allow_missing: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two evaluations with the same problems in the same order, that of `before`.

    Args:
        allow_missing: compare on the shared problems instead of raising when one side has more.

    Raises:
        DataError: an id occurs twice, a gold answer differs, the set's version differs, no problem is shared,
            or (unless `allow_missing`) one side has a problem that the other lacks.

    >>> a = {"problems": [{"id": "x", "gold": 1}, {"id": "y", "gold": 2}]}
    >>> b = {"problems": [{"id": "y", "gold": 2}, {"id": "x", "gold": 1}]}
    >>> [problem["id"] for problem in align(a, b)[1]["problems"]]
    ['x', 'y']
    """
    by_id = [{problem["id"]: problem for problem in side["problems"]} for side in (before, after)]
    for side, unique in zip((before, after), by_id, strict=True):
        if len(unique) != len(side["problems"]):
            raise DataError("An evaluation holds a problem id twice, so problems cannot be paired. Measure again.")
    versions = before.get("set_version"), after.get("set_version")
    if versions[0] != versions[1]:
        raise DataError(f"The evaluations are of set versions {versions[0]} and {versions[1]}: measure both on one.")
    shared = [id for id in by_id[0] if id in by_id[1]]
    lacking = sorted(by_id[0].keys() ^ by_id[1].keys())
    if not shared or (lacking and not allow_missing):
        raise DataError(
            f"The evaluations share {len(shared)} problems and differ in {len(lacking)}, e.g. {lacking[:3]}. "
            "Measure both on the same problems, or pass allow_missing=True to compare on the shared ones."
        )
    for id in shared:
        if by_id[0][id]["gold"] != by_id[1][id]["gold"]:
            raise DataError(f"Problem {id!r} has another gold answer in each evaluation: the data set has changed.")
    aligned = [
        {**side, "problems": [mine[id] for id in shared]} for side, mine in zip((before, after), by_id, strict=True)
    ]
    return aligned[0], aligned[1]
