"""Apply a price list to a stored evaluation: utility, coverage, selective accuracy and risk, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.decide.next_draw import NextDraw
from rlvr.decide.policies import Outcome, always_answer, best_threshold, play, with_threshold
from rlvr.decide.recalibrate import RECALIBRATIONS
from rlvr.decide.source import EvalSource, eval_contents
from rlvr.decide.utility import ACTIONS, Prices
from rlvr.measure.metrics import EvalArrays, Interval, bootstrap_counts, risk_at_coverage
from rlvr.measure.metrics.pairs import ratio

POLICIES = ("act on the confidence", "always answer", "never answer", "best constant threshold")
ACT, ALWAYS, NEVER, CONSTANT = POLICIES
COVERAGES = tuple(round(0.1 * i, 1) for i in range(1, 11))


@dataclass(frozen=True)
class Decisions:
    """Hold what each policy earns on an evaluation.

    Attributes:
        prices: as given, before any price of its own for a problem.
        threshold: the constant threshold: chosen on validation, or the median of those chosen without each problem.
        policies: policy -> `utility` (per decision, unit of the prices), `coverage` (share answered),
            `selective_accuracy` (right among the answered), `escalated`, `draws` (samples per decision).
        gains: policy -> utility of acting on the confidence minus that of the policy.
        decisions, missing, unverified: samples that count, those of them without a confidence, those left out.
    """

    prices: Prices
    threshold: float
    policies: dict[str, dict[str, Interval]]
    gains: dict[str, Interval]
    decisions: int
    missing: int
    unverified: int


def decide_eval(
    eval: EvalSource,
    prices: Prices = Prices(),  # noqa: B008  (frozen)
    *,
    by_problem: Mapping[str, Mapping[str, float]] | None = None,
    validation: EvalSource | None = None,
    recalibration: str | None = None,
    confidence: str = "stated",
    n_resamples: int = 2000,
    seed: int = 0,
) -> Decisions:
    """Return what choosing by expected utility earns on an evaluation, and what simpler policies earn.

    Each stored sample is one decision. Samples without a verdict count nowhere; samples without a confidence are
    never answered, except by "always answer". The best constant threshold is chosen on `validation`, or without
    it on all other problems. Intervals: 95%, bootstrap over problems, thresholds and recalibration held fixed.

    Args:
        eval: an `rlvr.Evaluation`, an `rlvr.Run` (its evaluation after training), a file, a run directory, or what an
            evaluation file holds.
        by_problem: problem id or task -> prices that differ there; an id goes before a task.
        validation: another evaluation, which alone fits `recalibration`, the threshold (at `prices`, without
            those of single problems) and what a draw is worth.
        recalibration: one of `RECALIBRATIONS`; None takes the confidence at its word.
        confidence: one of `rlvr.measure.metrics.CONFIDENCES`.

    Raises:
        DataError: nothing to decide on; a price or a recalibration that needs `validation`; problems in both.
        SpecError: an unknown recalibration, price, problem or task.
    """
    eval = eval_contents(eval)
    arrays, unverified = _verified(eval, confidence)
    if not arrays.problem_S.size:
        raise DataError("No sample of this evaluation has a verdict, so no decision can be judged. Measure again.")
    q_S, y_S, problem_S = arrays.confidence_S, arrays.correct_S, arrays.problem_S
    local = local_prices(eval, arrays, prices, by_problem or {})
    draw, acted_S = None, q_S
    if validation is None:
        needs = (recalibration and "recalibration") or (prices.resample is not None and "the price of resample")
        if needs:
            raise DataError(f"{needs} is fitted on validation data only. Give an evaluation of the validation split.")
        threshold_S = best_threshold(q_S, y_S, problem_S, local, leave_out=True)
    else:
        validation = eval_contents(validation)
        _no_overlap(eval, validation)
        held, _ = _verified(validation, confidence)
        threshold_S = best_threshold(held.confidence_S, held.correct_S, held.problem_S, prices)
        held_S = held.confidence_S
        if recalibration is not None:
            if recalibration not in RECALIBRATIONS:
                raise SpecError(did_you_mean("recalibration", recalibration, RECALIBRATIONS))
            q, y, _ = held.pairs()
            curve = RECALIBRATIONS[recalibration]().fit(q, y)
            acted_S, held_S = (np.where(np.isnan(x), np.nan, curve.predict(np.nan_to_num(x))) for x in (q_S, held_S))
        if prices.resample is not None:
            stated = ~np.isnan(held_S)
            draw = NextDraw().fit(held_S[stated], held.correct_S[stated], held.problem_S[stated])
    outcomes = {
        ACT: play(acted_S, y_S, problem_S, local, draw),
        ALWAYS: always_answer(y_S, local),
        NEVER: with_threshold(q_S, y_S, local, np.inf),
        CONSTANT: with_threshold(q_S, y_S, local, threshold_S),
    }
    intervals = _intervals(arrays, outcomes, n_resamples, seed)
    measures = ("utility", "coverage", "selective_accuracy", "escalated", "draws")
    return Decisions(
        prices,
        float(np.median(threshold_S)),
        {policy: {name: intervals[f"{name}/{policy}"] for name in measures} for policy in POLICIES},
        {policy: intervals[f"gain/{policy}"] for policy in POLICIES[1:]},
        q_S.size,
        int(np.isnan(q_S).sum()),
        unverified,
    )


def risk_by_coverage(
    eval: EvalSource, confidence: str = "stated", n_resamples: int = 2000, seed: int = 0
) -> dict[float, Interval]:
    """Return coverage -> error rate among that share of the pairs, the most confident first.

    In [0, 1]; a confidence that knows nothing gives the error rate at every coverage. Intervals over problems.
    `eval` is what `decide_eval` takes. Errors as in `EvalArrays.of`. Source: 1705.08500.

    >>> sample = {"answer": "4", "tokens": 9, "logp": -1.0, "format_ok": True, "truncated": False}
    >>> rows = [{**sample, "confidence": q, "correct": q > 0.5} for q in (0.1, 0.9)]
    >>> risks = risk_by_coverage({"problems": [{"task": "t", "samples": rows}]})
    >>> risks[0.5].value, risks[1.0].value
    (0.0, 0.5)
    """
    arrays = EvalArrays.of(eval_contents(eval), confidence)
    q_S, y_S, problem_S = arrays.pairs()

    def statistics(counts_RP: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        risk_RC = risk_at_coverage(q_S, y_S, COVERAGES, counts_RP[:, problem_S])
        return {str(c): risk_RC[:, i] for i, c in enumerate(COVERAGES)}

    chunk = max(1, min(100, 1_000_000 // max(1, q_S.size)))
    risks = bootstrap_counts(statistics, arrays.n_problems, n_resamples=n_resamples, seed=seed, chunk=chunk)
    return {c: risks[str(c)] for c in COVERAGES}


def local_prices(
    eval: Mapping[str, Any], arrays: EvalArrays, prices: Prices, by_problem: Mapping[str, Mapping[str, float]]
) -> Prices:
    """Return prices with one value per sample, where a problem or its task has prices of its own."""
    if not by_problem:
        return prices
    names = {field.name for field in fields(Prices)}
    problems = [(problem["id"], problem["task"]) for problem in eval["problems"]]
    known = {name for pair in problems for name in pair}
    for key, changes in by_problem.items():
        if key not in known:
            raise SpecError(did_you_mean("problem or task", key, sorted(known)[:20]))
        for name in changes:
            if name not in names or getattr(prices, name) is None:
                given = {n for n in names if getattr(prices, n) is not None}
                raise SpecError(did_you_mean("price", name, given, "A price of a problem changes one that all have."))
    chosen = [{**by_problem.get(task, {}), **by_problem.get(id, {})} for id, task in problems]
    changed = {name for changes in chosen for name in changes}
    columns = {
        name: np.array([changes.get(name, getattr(prices, name)) for changes in chosen], dtype=float)[arrays.problem_S]
        for name in changed
    }
    return replace(prices, **columns)


def _verified(eval: Mapping[str, Any], confidence: str) -> tuple[EvalArrays, int]:
    """Return the problems without samples that lack a verdict, and how many samples were left out."""
    arrays = EvalArrays.of(eval, confidence)
    keep = ~np.isnan(arrays.correct_S)
    columns = {name: getattr(arrays, name)[keep] for name in ("problem_S", "correct_S", "confidence_S")}
    return replace(arrays, **columns), int((~keep).sum())


def _no_overlap(eval: Mapping[str, Any], validation: Mapping[str, Any]) -> None:
    ids = [{problem["id"] for problem in side["problems"]} for side in (eval, validation)]
    if shared := sorted(ids[0] & ids[1]):
        raise DataError(
            f"{len(shared)} problems are in both the evaluation and the validation data, e.g. {shared[0]!r}, so the "
            "fit would have seen what it is judged on. Measure with --split validation."
        )


def _intervals(arrays: EvalArrays, outcomes: Mapping[str, Outcome], n_resamples: int, seed: int) -> dict[str, Interval]:
    P, problem_S = arrays.n_problems, arrays.problem_S

    def by_problem(values_S: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(problem_S, weights=values_S, minlength=P).astype(float)

    n_P = by_problem(np.ones(problem_S.size))
    sums = {
        policy: {
            "utility": (by_problem(o.payoff_S), n_P),
            "coverage": (by_problem(o.answered_S), n_P),
            "selective_accuracy": (by_problem(o.right_S), by_problem(o.answered_S)),
            "escalated": (by_problem((o.action_S == ACTIONS.index("escalate")).astype(float)), n_P),
            "draws": (by_problem(o.draws_S), n_P),
        }
        for policy, o in outcomes.items()
    }

    def statistics(counts_RP: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        rates = {
            f"{name}/{policy}": ratio(counts_RP @ top_P, counts_RP @ bottom_P)
            for policy, measures in sums.items()
            for name, (top_P, bottom_P) in measures.items()
        }
        gains = {f"gain/{p}": rates[f"utility/{ACT}"] - rates[f"utility/{p}"] for p in POLICIES[1:]}
        return {**rates, **gains}

    return bootstrap_counts(statistics, P, n_resamples=n_resamples, seed=seed)
