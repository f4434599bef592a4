"""Compute the numbers of a run's evaluations: before, after, and the difference paired by problem."""

from collections.abc import Mapping
from typing import Any

from rlvr.core.errors import DataError
from rlvr.measure.metrics import (
    EvalArrays,
    Interval,
    compare_evals,
    pass_at_1_by_task,
    reliability_table,
    summarise_eval,
    vote_curve,
)
from rlvr.report.panel import decisions_at, panel

# What must agree for a difference between two evaluations to be due to the models.
SAMPLING = (
    "n",
    "temperature",
    "top_p",
    "top_k",
    "max_completion_length",
    "seed",
    "tags",
    "answer_format",
    "split",
    "chat_template_kwargs",
)
OF_SAMPLES = ("n", "max_completion_length", "seed")  # which computed chances do not depend on


def summarise_sides(sides: Mapping[str, Mapping[str, Any]], confidence: str = "stated") -> dict[str, Any]:
    """Return the numbers of one set for one run.

    Args:
        sides: {"before": evaluation, "after": evaluation}; one of them may be absent.
        confidence: whose confidence the calibration metrics judge, one of `CONFIDENCES`.

    Returns:
        `facts` about what was measured; `before` and `after`: metric -> Interval, as `summarise_eval`;
        `difference`: metric -> Interval of after - before ({} when it cannot be taken); `by_task` and
        `reliability` for each side; `notes`.
    """
    evaluation = sides.get("after") or sides["before"]
    facts = {key: evaluation.get(key) for key in ("set", "spec", "set_version", "model", *SAMPLING)}
    result: dict[str, Any] = {"facts": facts, "notes": [], "by_task": {}, "reliability": {}, "difference": {}}
    facts["problems"] = len(evaluation["problems"])
    facts["exact"] = all(side.get("exact") for side in sides.values())
    for when, side in sides.items():
        result[when] = summarise_eval(side, confidence=confidence)
        result["by_task"][when] = pass_at_1_by_task(side)
        if result[when]["pairs"]:
            result["reliability"][when] = reliability_table(*EvalArrays.of(side, confidence).pairs())
        if failed := result[when]["unverified"]:
            result["notes"].append(f"The verifier failed on {failed} samples {when} training; they count nowhere.")
    if len(sides) == 2:
        result["difference"], notes = difference(sides["before"], sides["after"], confidence)
        result["notes"] += notes
    return result


def decided(sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what can be decided with the confidences of each side that states some.

    `votes`: see `vote_curve`; `panel`: what the page's decision panel computes from; `decisions`: at fixed prices.
    """
    stating = {when: side for when, side in sides.items() if EvalArrays.of(side).has_pair_S.any()}
    return {
        "votes": {when: vote_curve(side) for when, side in stating.items()},
        "panel": {when: panel(side) for when, side in stating.items()},
        "decisions": {when: decisions_at(side) for when, side in stating.items()},
    }


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], confidence: str = "stated"
) -> tuple[dict[str, Interval], list[str]]:
    """Return after - before for every metric, paired by problem, and what speaks against it."""
    sides = (before, after)
    computed = all(side.get("exact") for side in sides) and not all(side.get("n") for side in sides)
    alike = OF_SAMPLES if computed else ()
    unequal = [key for key in SAMPLING if key not in alike and before.get(key) != after.get(key)]
    notes = [f"{key} differs: {before.get(key)!r} and {after.get(key)!r}; not like for like." for key in unequal]
    try:
        return compare_evals(before=before, after=after, confidence=confidence), notes
    except DataError as error:
        return {}, [*notes, f"No paired difference: {error}"]
