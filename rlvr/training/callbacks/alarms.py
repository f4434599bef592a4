"""Judge from logged rows alone when a run is dying or collapsing: what is wrong, and what to try.

Three kinds. A *state* is the mean of the last `window` rows (nothing is right, everything is cut off). A *collapse*
compares the last half window with the first half window of the run: lengths shrink (the leading sign: before accuracy
falls, 2605.28388), one answer serves for everything, mass spreads over garbage (negative-only credit on a weak prior,
2506.01347), accuracy falls. The *start*: accuracy lost in the first updates, before a rate is warm. The thresholds are
this project's own; tests/test_alarms.py holds them against runs that did collapse and runs that did not, and says
which alarms no real run has raised yet.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.core.answer_format import DEFAULT, AnswerFormat
from rlvr.training.health import FIRST, accuracy_dropped, accuracy_lost
from rlvr.training.health import logged_mean as _mean

IDLE = 0.5  # of the updates: after one lucky batch Adam moves the weights by 3 to 4.5 rates over 12 updates
COLLAPSES = ("length", "repetition", "echo", "entropy", "format_falls", "accuracy")


def alarms(rows: Sequence[Mapping[str, Any]], window: int = 8, answers: AnswerFormat = DEFAULT) -> dict[str, str]:
    """Return cause -> message for a run with these rows of metrics.jsonl; nothing before there are `window` rows.

    `answers` is the form of answer that the run asks for.

    >>> dead = {"groups/all_wrong": 1.0, "format_rate": 0.9}
    >>> list(alarms(8 * [dead])), alarms(7 * [dead])
    (['all_wrong'], {})
    """
    if len(rows) < window:
        return {}
    causes = {**_states(rows[-window:], answers), **_collapses(rows[: window // 2], rows[-(window // 2) :])}
    return causes if "accuracy" in causes else {**causes, **_start(rows)}


def _start(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the alarm for accuracy lost at first, while the rows are those of the start."""
    if len(rows) > FIRST + 1 or not accuracy_dropped(rows):
        return {}
    return {
        "first_updates": f"the first updates cost {accuracy_lost(rows)[0]:.2f} accuracy: Adam's first step has the "
        "size of the learning rate in every weight, whatever the gradient, so on noise it is a random one. Warm the "
        "rate up (--lr_scheduler_type constant_with_warmup --warmup_steps 10), or lower --learning_rate."
    }


def _states(rows: Sequence[Mapping[str, Any]], answers: AnswerFormat) -> dict[str, str]:
    causes = {}
    wrong, right = _mean(rows, "groups/all_wrong"), _mean(rows, "groups/all_right")
    form, cut, kept = _mean(rows, "format_rate"), _mean(rows, "completions/clipped_ratio"), _mean(rows, "kept")
    if cut > 0.5:
        causes["truncated"] = (
            f"{cut:.0%} of completions hit the length limit and cannot score. Try a larger "
            "--max_completion_length or shorter worked solutions in the warm-up."
        )
    if form < 0.1:
        causes["format"] = (
            f"only {form:.0%} of completions have the requested form, {answers.form!r}, so nearly all rewards are 0. "
            f"Try a warm-up (--sft_steps 40), or {_simpler(answers)}."
        )
    elif wrong > 0.9 and (failures := _mean(rows, "verifier/errors")) > 0:
        causes["verifier"] = (
            f"{wrong:.0%} of groups have no right answer, and on {failures:.0f} completions per step the verifier gave "
            "no verdict. Easier problems will not help: the run's first WARNING says why, and rlvr check tries it."
        )
    elif wrong > 0.9:
        causes["all_wrong"] = (
            f"{wrong:.0%} of groups are all-wrong: group-relative advantages are 0 and nothing is learned. Try "
            "easier problems (--data 'arithmetic(levels=[0, 1])'), more samples (--num_generations), or a warm-up."
        )
    if right > 0.9:
        causes["all_right"] = (
            f"{right:.0%} of groups are all-right: there is nothing left to learn here. Try harder problems."
        )
    if kept < 0.1:
        causes["dropped"] = (
            f"only {kept:.0%} of completions reach the loss; the rest is dropped. Loosen the drop_* transforms "
            "of --advantage, or give them problems they keep."
        )
    norms = [row["grad_norm"] for row in rows if row.get("grad_norm") is not None]
    if any(norms) and norms.count(0.0) >= IDLE * len(rows) and not any("health/no_step" in row for row in rows):
        causes["drift"] = (
            f"{norms.count(0.0)} of the last {len(rows)} updates had no gradient at all, and momentum and weight decay "
            "moved the weights all the same. Leave such updates out (--min_mixed_groups 0.1), or train without first "
            "moment (--adam_beta1 0 --weight_decay 0)."
        )
    if _mean(rows, "grad_norm") == 0.0:
        causes["gradient"] = "the gradient is exactly 0: no completion carries credit, or no weight is trainable."
    return causes


def _simpler(answers: AnswerFormat) -> str:
    """Return which setting asks for a form that is easier to write."""
    if answers.place is None and len(answers.tags) > 1:
        return "fewer --tags"
    if answers.place is not None and answers.tags != ("answer",):
        return "an --answer_format that asks for the answer alone (thinking='none', confidence='none')"
    return "another --answer_format, one that the model writes unasked (boxed, last_number)"


def _collapses(first: Sequence[Mapping[str, Any]], last: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    def both(key: str, above: float = -math.inf) -> tuple[float, float]:
        return _mean(first, key, above), _mean(last, key, above)

    causes = {}
    # Of completions that ended by themselves (0: none did), so that learning to stop is no collapse.
    start, now = both("completions/mean_terminated_length", above=0)
    before, after = both("accuracy")
    if now < 0.5 * start:
        causes["length"] = (
            f"completions shrank from {start:.0f} to {now:.0f} tokens (right: {before:.0%}, now {after:.0%}): the "
            "model may be skipping its working, and accuracy tends to follow. Look at rollouts/; try "
            "drop_near_impossible, dr_grpo, or --data 'inverse(levels=...)' for the hardest levels."
        )
    start, now = both("answers/repetition")
    if now > 0.6 or (now > 0.25 and now > 2 * start):
        causes["repetition"] = (
            f"two completions of different problems give the same final answer in {now:.0%} of cases (at the start: "
            f"{start:.0%}): one answer is taking over. Look at rollouts/ for what it earns; try drop_near_impossible "
            "or a larger answer space."
        )
    start, now = both("answers/echo")
    if now > 0.5 or (now > 0.25 and now > 2 * start):
        causes["echo"] = (
            f"{now:.0%} of completions wrongly answer with a number of their own prompt (at the start: {start:.0%}): "
            "the computation is skipped. Look at rollouts/; try drop_near_impossible, easier problems or a longer "
            "warm-up."
        )
    start, now = both("entropy")
    if now > max(2 * start, start + 0.5):
        causes["entropy"] = (
            f"entropy rose from {start:.2f} to {now:.2f} nats a token: mass spreads over garbage, as with "
            "negative-only credit on a weak prior. Try w_reinforce for nsr, a lower --learning_rate, --beta 0.01, "
            "or a longer warm-up."
        )
    start, now = both("format_rate")
    if now < 0.7 * start:
        causes["format_falls"] = (
            f"the format rate fell from {start:.0%} to {now:.0%}. Try a format term in --rewards, w_reinforce for "
            "nsr, a lower --learning_rate, or --beta 0.01."
        )
    if after < 0.5 * before and before - after > 0.25:  # a handful of problems a step is noisy
        causes["accuracy"] = (
            f"right answers fell from {before:.0%} to {after:.0%}. Try a lower --learning_rate or more problems a step."
        )
    return causes
