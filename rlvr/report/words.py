"""The report's sentences, written from the numbers: nothing is called better that its interval does not show."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.metrics import Interval
from rlvr.report.show import interval, number

FEW_PROBLEMS = 10  # below this a bootstrap over problems says little, and no direction is claimed


def change(label: str, before: Interval, after: Interval, gain: Interval) -> str:
    """Return one sentence on a paired difference; the direction is named only if the interval excludes 0.

    >>> change("pass@1", Interval(0.2, 0.1, 0.3, 50), Interval(0.5, 0.4, 0.6, 50), Interval(0.3, 0.2, 0.4, 50))
    'pass@1 rose from 0.200 to 0.500 (paired difference +0.300, 95% interval [+0.200, +0.400], 50 problems).'
    """
    low, high = number(gain.low, signed=True), number(gain.high, signed=True)
    detail = f"paired difference {number(gain.value, signed=True)}, 95% interval [{low}, {high}]"
    ends = f"from {number(before.value)} to {number(after.value)}"
    if gain.n < FEW_PROBLEMS:
        return f"{label} went {ends} ({detail}), but {gain.n} problems are too few to tell a change from chance."
    if gain.excludes_zero:
        verb = "rose" if gain.value > 0 else "fell"
        return f"{label} {verb} {ends} ({detail}, {gain.n} problems)."
    return f"{label} went {ends}: no change that can be told from chance ({detail} includes 0, {gain.n} problems)."


def against_constant(after: Mapping[str, Any], when: str) -> str:
    """Return one sentence on the Brier score beside that of the best constant confidence."""
    skill, score, constant = after["brier_skill"], after["brier"], after["brier_constant"]
    if skill.n < FEW_PROBLEMS or not skill.excludes_zero:
        verdict = "cannot be told from"
    else:
        verdict = "is better than" if skill.value > 0 else "is worse than"
    return (
        f"{when.capitalize()} training its Brier score of {number(score.value)} {verdict} the {number(constant.value)} "
        f"of a constant confidence (skill {interval(skill)})."
    )


def verdict(measured: Mapping[str, Any]) -> str:
    """Return the paragraph on one set of one run."""
    held_out = "Training-set" if measured["facts"]["split"] == "train" else "Held-out"
    before, after, gain = (measured.get(side) for side in ("before", "after", "difference"))
    sentences = []
    if gain:
        sentences.append(change(f"{held_out} pass@1", before["pass@1"], after["pass@1"], gain["pass@1"]))
        for key, label in (("ece", "ECE"), ("brier", "The Brier score")):
            if gain[key].n and gain[key].value == gain[key].value:
                sentences.append(change(label, before[key], after[key], gain[key]))
    else:
        when, side = ("after", after) if after else ("before", before)
        sentences.append(
            f"{held_out} pass@1 {when} training is {interval(side.get('pass@1'))} on {side['problems']} problems; "
            "there is no paired difference."
        )
    when, side = ("after", after) if after else ("before", before)
    if side["pairs"] == 0:
        sentences.append("No confidence was stated, so calibration was not measured.")
    else:
        sentences.append(against_constant(side, when))
        if (missing := side["confidence_missing"].value) > 0.05:
            sentences.append(f"{missing:.0%} of the completions state no confidence and are left out of calibration.")
    if side["format_rate"].value < 0.9:
        sentences.append(f"Only {side['format_rate'].value:.0%} of the completions have the requested tags.")
    return " ".join(sentences)


def signal(training: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return the sentence on how many groups carried a signal ("" when none was recorded)."""
    groups = counts["groups"]
    if total := sum(groups.values()):
        parts = ", ".join(f"{groups.get(kind, 0) / total:.0%} {kind}" for kind in ("mixed", "all right", "all wrong"))
        return f"Of {total} training groups {parts}."
    shares = {row["key"]: row["all"] for row in training}
    if "groups/mixed" in shares:
        kinds = (("mixed", "mixed"), ("all right", "all_right"), ("all wrong", "all_wrong"))
        parts = ", ".join(f"{shares.get('groups/' + key, 0.0):.0%} {label}" for label, key in kinds)
        return f"Of the training groups {parts} (from the logged shares)."
    return ""


def limits(runs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[str]:
    """Return what the numbers cannot say, given how many seeds and problems they rest on."""
    found = []
    if len(set(seeds)) == 1 and seeds[0] == 1:
        found.append("One seed per setting: the intervals do not cover what another training seed would give.")
    else:
        found.append(f"Between {min(seeds)} and {max(seeds)} seeds per setting; no interval covers the seeds.")
    for run in runs:
        for name, measured in run["sets"].items():
            facts = measured["facts"]
            found.append(
                f"{run['name']}, {name}: {facts['problems']} problems with {facts['n']} samples each, "
                f"temperature {facts['temperature']}, at most {facts['max_completion_length']} tokens."
            )
    return found
