"""Judge from logged rows alone whether a run could learn, and say what to change.

The thresholds are those of a small model that learns (docs/metrics.md): GRPO on operators, 512 completions an update.
What is judged is the start of the run, its first ten updates: a run that has learned loses its mixed groups and with
them the cosine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

FIRST = 10  # updates that are the start of a run
FEWEST = 4  # updates below which nothing is said
COSINE = 0.3  # of two halves of a batch: a third of a half's gradient is signal, nearly half of the whole update's
MIXED = 0.5  # of groups: with fewer, most completions are sampled and judged for no credit
LOST = 0.02  # of accuracy: a warm learning rate loses none; Adam's first step on noise lost 0.03 to 0.085
NEARLY_ALL = 0.9  # of groups all right (all wrong): the rest is too few to learn from
MOST = 16  # times as many completions, at most: what a small cosine says beyond that is a guess

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """Hold one thing that a run needs: what was measured, what is wanted, and what is wrong ("": nothing is)."""

    name: str
    value: str
    wanted: str
    wrong: str = ""

    @property
    def measured(self) -> bool:
        """Return whether the rows say anything of it."""
        return self.value != "n/a"


def logged_mean(rows: Rows, key: str, above: float = -math.inf) -> float:
    """Return the mean of what was logged as `key` above `above`; NaN where nothing is.

    >>> logged_mean([{"kl": 1.0}, {"kl": None}, {}, {"kl": 3.0}], "kl")
    2.0
    """
    values = [v for row in rows if (v := row.get(key)) is not None and math.isfinite(v) and v > above]
    return sum(values) / len(values) if values else math.nan


def accuracy_lost(rows: Rows) -> tuple[float, float]:
    """Return how much accuracy the first ten updates cost, and the standard error of that.

    Accuracy of the first batch, sampled before any update, minus the mean of the ten after it. The error is that of
    one batch, s, times sqrt(1 + 1/n), with s^2 half the mean squared difference of neighbours among these n: a trend
    does not widen it. NaN without the first batch (`logging_steps` above 1), or with fewer than three after it.

    >>> accuracy_lost([{"step": step, "accuracy": a} for step, a in enumerate([0.5, 0.25, 0.25, 0.25], 1)])
    (0.25, 0.0)
    """
    known = {row.get("step", i): row["accuracy"] for i, row in enumerate(rows, 1) if row.get("accuracy") is not None}
    after = [accuracy for step, accuracy in known.items() if 1 < step <= FIRST + 1]
    if 1 not in known or len(after) < 3:
        return math.nan, math.nan
    squares = [(b - a) ** 2 for a, b in pairwise(after)]
    spread = math.sqrt(sum(squares) / len(squares) / 2)
    return known[1] - sum(after) / len(after), spread * math.sqrt(1 + 1 / len(after))


def accuracy_dropped(rows: Rows) -> bool:
    """Return whether the first ten updates cost more accuracy than is healthy and than two standard errors."""
    lost, error = accuracy_lost(rows)
    return lost > max(LOST, 2 * error)  # NaN is not


def completions_needed(completions: float, cosine: float) -> tuple[int, bool]:
    """Return how many completions an update bring the cosine to `COSINE`, and whether that is all that can be said.

    cosine = S / (S + V / B) with B completions, so B grows by c (1 - cosine) / ((1 - c) cosine), c = `COSINE`; rounded
    up to a power of two, and at most `MOST` times as many (then it is "or more").

    >>> completions_needed(64, 0.1), completions_needed(64, -0.01)
    ((256, True), (1024, False))
    """
    factor = math.inf if cosine <= 0 else COSINE * (1 - cosine) / ((1 - COSINE) * cosine)
    if factor > MOST:
        return round(MOST * completions), False
    return round(completions * 2 ** max(1, math.ceil(math.log2(factor) - 1e-9))), True


def health_checks(rows: Rows) -> list[Check]:
    """Return what a run that can learn needs, each as measured in these rows of metrics.jsonl."""
    trained = [row for row in rows if row.get("groups/mixed") is not None]
    return [_ends(trained), _lost(rows), _noise(rows), _mixed(trained)]


def health_verdict(rows: Rows) -> str:
    """Return one line on whether the run with these rows of metrics.jsonl could learn, and what to change.

    >>> health_verdict(10 * [{"groups/all_right": 0.96, "groups/mixed": 0.04, "groups/all_wrong": 0.0}])
    'ceiling: 96% of groups are all right, so there is little to learn; take harder problems'
    """
    updates = sum(row.get("groups/mixed") is not None for row in rows)
    if updates < FEWEST:
        return f"unknown: {updates} updates say what was right, and {FEWEST} are the fewest that tell anything"
    checks = health_checks(rows)
    if wrong := [check.wrong for check in checks if check.wrong]:
        return "; ".join(wrong)
    missing = [check.name for check in checks if not check.measured]
    return f"healthy as far as was measured; n/a: {', '.join(missing)}" if missing else "healthy"


def _ends(trained: Rows) -> Check:
    """Check that neither nearly all groups are right nor nearly all wrong, at the start and at the end."""
    name, wanted = "groups all right, all wrong", f"at most {NEARLY_ALL:.0%} each, at the start and at the end"
    if not trained:
        return Check(name, "n/a", wanted)
    shares = [
        [logged_mean(part, f"groups/all_{kind}") for part in (trained[:FIRST], trained[-FIRST:])]
        for kind in ("right", "wrong")
    ]
    (right, right_end), (wrong, wrong_end) = shares
    trouble = ""
    if right > NEARLY_ALL:
        trouble = f"ceiling: {right:.0%} of groups are all right, so there is little to learn; take harder problems"
    elif wrong > NEARLY_ALL:
        trouble = (
            f"floor: {wrong:.0%} of groups are all wrong, so there is little to learn from; take easier problems, more "
            "--num_generations or a longer warm-up (--sft_steps)"
        )
    elif right_end > NEARLY_ALL:
        trouble = f"ended at the ceiling: {right_end:.0%} of groups are all right; harder problems would teach more"
    elif wrong_end > NEARLY_ALL:
        trouble = f"ended at the floor: {wrong_end:.0%} of groups are all wrong; take a lower --learning_rate"
    ends = f"{right:.0%} and {wrong:.0%}, at the end {right_end:.0%} and {wrong_end:.0%}"
    return Check(name, ends, wanted, trouble)


def _lost(rows: Rows) -> Check:
    """Check that the first updates cost no accuracy, beyond what batches differ by."""
    name, wanted = "accuracy lost in the first ten updates", f"at most {LOST}, or two standard errors"
    lost, error = accuracy_lost(rows)
    if math.isnan(lost):
        return Check(name, "n/a", wanted)
    rates = [rate for row in rows[: FIRST + 1] if (rate := row.get("learning_rate")) is not None]
    warmed = bool(rates) and rates[0] < max(rates) / 2
    mend = "lower --learning_rate" if warmed else "warm the learning rate up"
    how = "" if warmed else " (--lr_scheduler_type constant_with_warmup --warmup_steps 10)"
    trouble = f"lost {lost:.2f} accuracy in its first updates: {mend}{how}" if accuracy_dropped(rows) else ""
    return Check(name, f"{lost + 0.0:.3f} (standard error {error:.3f})", wanted, trouble)


def _noise(rows: Rows) -> Check:
    """Check that the gradients of two halves of a batch agree at the start."""
    name, wanted = "cosine of the gradients of two halves of a batch", f"at least {COSINE}"
    values = [row for row in rows if row.get("health/gradient_cosine") is not None]
    if not values:
        return Check(f"{name} (it takes one process and --gradient_accumulation_steps 2 or more)", "n/a", wanted)
    cosine = round(logged_mean(values[:FIRST], "health/gradient_cosine"), 2) + 0.0  # judged as it is shown
    completions = logged_mean(rows, "health/completions")
    trouble = ""
    if cosine < COSINE:
        needed, enough = completions_needed(completions, cosine)
        trouble = (
            f"too noisy: {completions:.0f} completions an update, cosine {cosine:.2f}; use {needed}"
            f"{'' if enough else ' or more'}"
        )
    return Check(name, f"{cosine:.2f}, with {completions:.0f} completions an update", wanted, trouble)


def _mixed(trained: Rows) -> Check:
    """Check that most groups, or at least most completions, carry credit at the start."""
    name, wanted = "groups with right and wrong completions", f"at least {MIXED:.0%}, or of completions with credit"
    start = trained[:FIRST]
    mixed, useful, all_of_them = (
        logged_mean(start, key) for key in ("groups/mixed", "health/effective_completions", "health/completions")
    )
    if math.isnan(mixed):
        return Check(name, "n/a", wanted)
    share = useful / all_of_them if all_of_them else math.nan
    credit = "" if math.isnan(share) else f"; {useful:.0f} of {all_of_them:.0f} completions carry credit"
    trouble = ""
    if mixed < MIXED and not share >= MIXED and not _ends(trained).wrong:  # a ceiling or a floor is said already
        trouble = (
            f"few mixed groups: {mixed:.0%} hold right and wrong completions{credit}; choose problems of a medium pass "
            "rate (--difficulty_band 0.2 0.8) or more --num_generations"
        )
    return Check(name, f"{mixed:.0%}{credit}", wanted, trouble)
