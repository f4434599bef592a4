"""Write the report's sentences from the numbers: no direction is named that its interval does not show."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.measure.metrics import Interval
from rlvr.report.show import interval, number
from rlvr.report.training import trained_seconds

FEW_PROBLEMS = 10  # below this a bootstrap over problems says little, and no direction is claimed


def change(label: str, before: Interval, after: Interval, gain: Interval) -> str:
    """Return one sentence on a paired difference; the direction is named only if the interval excludes 0.

    >>> before, after = Interval(0.2, 0.1, 0.3, 50), Interval(0.5, 0.4, 0.6, 50)
    >>> change("pass@1", before, after, Interval(0.3, 0.2, 0.4, 50))
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
    return f"{label} went {ends}: no change to tell from chance ({detail} includes 0, {gain.n} problems)."


def against_constant(side: Mapping[str, Any]) -> str:
    """Return the Brier score beside that of the best constant confidence, as a clause."""
    skill, score, constant = side["brier_skill"], side["brier"], side["brier_constant"]
    if skill.n < FEW_PROBLEMS or not skill.excludes_zero:
        verdict = "cannot be told from"
    else:
        verdict = "is better than" if skill.value > 0 else "is worse than"
    return (
        f"the Brier score of {number(score.value)} {verdict} the {number(constant.value)} "
        f"of a constant confidence (skill {interval(skill)})"
    )


def verdict(measured: Mapping[str, Any]) -> str:
    """Return the paragraph on one set of one run."""
    held_out = "Training-set " if measured["facts"]["split"] == "train" else "Held-out "
    when = "after" if "after" in measured else "before"
    side, gain = measured[when], measured["difference"]
    time = f" {when} training" if measured.get("trained", True) else ""  # stored completions: nobody knows of any
    sentences = []
    for key, label in (("pass@1", f"{held_out}pass@1"), ("ece", "ECE"), ("brier", "The Brier score")):
        if key in gain and not math.isnan(gain[key].value):
            sentences.append(change(label, measured["before"][key], measured["after"][key], gain[key]))
    if "pass@1" not in side:
        sentences.append("The verifier failed too often for pass@1.")
    elif not gain:
        accuracy = interval(side["pass@1"])
        head = f"{held_out if time else ''}pass@1 is {accuracy}{time} ({side['problems']} problems)"
        sentences.append(f"{head}; nothing to compare." if time else f"{head}.")
    if side["pairs"]:
        clause = f"{time} {against_constant(side)}.".lstrip()
        sentences.append(clause[0].upper() + clause[1:])
        if (missing := side["confidence_missing"].value) > 0.05:
            sentences.append(f"{missing:.0%} of the completions state no confidence and are left out of calibration.")
    else:
        sentences.append("No confidence was stated, so calibration was not measured.")
    if side["format_rate"].value < 0.9:
        sentences.append(f"Only {side['format_rate'].value:.0%} of the completions have the requested form.")
    return " ".join(sentences)


def about(config: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return one line on what was trained on what, and for how long.

    >>> about({"model": "tiny", "data": "arithmetic", "seed": 0}, [{"step": 3, "seconds": 30}])
    'model tiny; data arithmetic; seed 0; 3 steps; 30 s'
    """
    parts = [f"{key} {config[key]}" for key in ("model", "data", "advantage", "rewards", "seed") if key in config]
    if metrics:
        parts.append(f"{metrics[-1]['step']} steps")
        if seconds := trained_seconds(metrics):
            parts.append(f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min")
    return "; ".join(parts)


def signal(training: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return the sentence on how many groups carried a signal ("" when none was recorded)."""
    kinds = {"mixed": "groups/mixed", "all right": "groups/all_right", "all wrong": "groups/all_wrong"}
    logged = {row["key"]: row["all"] for row in training}
    if total := sum(counts["groups"].values()):
        shares, head = (
            {kind: counts["groups"].get(kind, 0) / total for kind in kinds},
            f"Of {total} training groups",
        )
    elif kinds["mixed"] in logged:
        shares, head = {kind: logged.get(key, 0.0) for kind, key in kinds.items()}, "Of the training groups"
    else:
        return ""
    mixed, right, wrong = (f"{share:.0%} were {kind}" for kind, share in shares.items())
    return f"{head}, {mixed}, {right} and {wrong}."


def limits(runs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[str]:
    """Return what the numbers cannot say, given how many seeds and problems they rest on."""
    sentences = []
    if not any(run.get("trained", True) for run in runs):
        pass  # nothing was trained here, so no training seed is left out
    elif len(set(seeds)) == 1 and seeds[0] == 1:
        sentences.append("One seed per setting: the intervals do not cover what another training seed would give.")
    else:
        sentences.append(f"Between {min(seeds)} and {max(seeds)} seeds per setting; no interval covers the seeds.")
    for run in runs:
        for name, measured in run["sets"].items():
            facts = measured["facts"]
            known = [f"{run['name']}, {name}: {facts['problems']} problems with {facts['n']} samples each"]
            known[0] += " (pass@k from computed chances)" if facts["exact"] else ""
            if facts.get("temperature") is not None:
                known.append(f"temperature {facts['temperature']}")
            if facts.get("max_completion_length") is not None:
                known.append(f"at most {facts['max_completion_length']} tokens")
            sentences.append(", ".join(known) + ".")
    if any(run["sets"] for run in runs):
        sentences.append(
            "Nothing here says how the models do on other kinds of problems, prompts or sampling settings."
        )
    return sentences
