"""The alarms against rows that real runs logged: those that collapse are named in time, healthy ones are left alone.

What the real rows show: length, format_falls and accuracy. Written down before they were made, and not seen in them:
repetition under the leaky verifier and entropy under nsr. At 1e-3 both runs lost the form within three steps, before one
answer could take over; the entropy of nsr fell. So repetition, echo and entropy are tested on made-up rows only. Nor do
they show that length falls before accuracy: the `brevity` run is hardly ever right from its first step.
"""

import io
import json
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from rlvr.training.callbacks.alarms import COLLAPSES, alarms
from rlvr.training.callbacks.progress import Watch
from tests.conftest import REPO

ROWS = json.loads(Path(__file__).with_name("alarm_rows.json").read_text())  # made by tests/alarm_rows.py
COLLAPSED = REPO / "docs" / "findings" / "calibration_smollm2" / "collapsed_lr5e-5.jsonl"
STEADY = {
    "reward": 0.5, "accuracy": 0.4, "format_rate": 0.9, "groups/mixed": 0.5, "groups/all_wrong": 0.3, "kept": 1.0,
    "groups/all_right": 0.2, "completions/clipped_ratio": 0.0, "completions/mean_terminated_length": 40.0,
    "grad_norm": 0.3, "entropy": 0.3, "answers/repetition": 0.02, "answers/echo": 0.05,
}  # fmt: skip


def first_steps(rows):
    """Cause -> the number of rows after which it was first named."""
    found = {}
    for n in range(1, len(rows) + 1):
        for cause in alarms(rows[:n]):
            found.setdefault(cause, n)
    return found


@pytest.mark.parametrize("name", [n for n in ROWS if n.startswith("healthy")])
def test_a_healthy_run_raises_no_collapse(name):
    assert len(ROWS[name]) == 40
    assert not set(first_steps(ROWS[name])) & set(COLLAPSES)


@pytest.mark.parametrize(
    ("name", "causes"),
    [("brevity", {"length"}), ("leaky_verifier", {"format_falls"}), ("nsr_weak_prior", {"format_falls"})],
)
def test_a_run_that_collapsed_is_named(name, causes):
    assert causes <= set(first_steps(ROWS[name]))


def test_a_real_fall_of_accuracy_is_named_alone():
    """SmolLM2 at 5e-5 (docs/findings): right answers from 52% to 22% by step 8; length, form and entropy gave no sign."""
    rows = [json.loads(line) for line in COLLAPSED.read_text().splitlines()]
    assert first_steps(rows) == {"accuracy": 8}
    assert "right answers fell from 52% to 22%" in alarms(rows[:8])["accuracy"]


@pytest.mark.parametrize(
    ("cause", "key", "harmless", "harmful"),
    [
        ("length", "completions/mean_terminated_length", 21.0, 19.0),
        ("repetition", "answers/repetition", 0.24, 0.26),
        ("echo", "answers/echo", 0.24, 0.26),
        ("entropy", "entropy", 0.79, 0.81),
        ("format_falls", "format_rate", 0.64, 0.62),
        ("accuracy", "accuracy", 0.16, 0.14),
    ],
)
def test_where_each_collapse_begins(cause, key, harmless, harmful):
    """Four steady rows, then four changed ones, on both sides of the documented threshold."""
    assert cause in COLLAPSES
    assert alarms(4 * [STEADY] + 4 * [STEADY | {key: harmless}]) == {}
    assert set(alarms(4 * [STEADY] + 4 * [STEADY | {key: harmful}])) == {cause}
    assert alarms(4 * [STEADY] + 3 * [STEADY | {key: harmful}]) == {}  # too early to tell


def test_what_was_never_logged_or_never_ended_raises_nothing():
    bare = {"reward": 0.5, "accuracy": None, "entropy": float("nan")}
    assert alarms(20 * [bare]) == {}
    none_ended = STEADY | {"completions/mean_terminated_length": 0.0}
    assert alarms(4 * [STEADY] + 4 * [none_ended]) == {}


def watched(stop, main_process=True):
    out, control = io.StringIO(), TrainerControl()
    watch = Watch(stop=stop, stream=out)
    for i, row in enumerate(4 * [STEADY] + 6 * [STEADY | {"completions/mean_terminated_length": 9.0}], 1):
        state = TrainerState()
        state.global_step, state.is_world_process_zero = i, main_process
        watch.on_log(None, state, control, logs=row)
        if control.should_training_stop:
            return i, out.getvalue()
    return None, out.getvalue()


def test_it_speaks_once_and_stops_only_when_asked():
    step, text = watched(stop=False)
    assert step is None and text.count("WARNING at step 7: completions shrank from 40 to") == 0
    assert text.count("WARNING at step 8: completions shrank from 40 to 9 tokens (right: 40%, now 40%)") == 1
    assert text.count("WARNING") == 1
    step, text = watched(stop=True)
    assert step == 8 and "Training stops here (--stop_on_collapse true)" in text
    assert watched(stop=True, main_process=False) == (8, "")  # every process stops, one speaks


def test_a_state_is_no_collapse_and_stops_nothing():
    out, control, state = io.StringIO(), TrainerControl(), TrainerState()
    watch = Watch(stop=True, stream=out)
    for _ in range(9):
        watch.on_log(None, state, control, logs=STEADY | {"groups/all_right": 0.95})
    assert "95% of groups are all-right" in out.getvalue()
    assert not control.should_training_stop


def test_a_verifier_that_fails_is_not_blamed_on_the_problems():
    """With the judge down, the advice was to try easier problems."""
    down = [STEADY | {"accuracy": 0.0, "groups/all_wrong": 1.0, "groups/mixed": 0.0, "verifier/errors": 32.0}] * 8
    found = alarms(down)
    assert "on 32 completions per step the verifier gave no verdict" in found["verifier"]
    assert "all_wrong" not in found
    assert "all_wrong" in alarms([{**row, "verifier/errors": 0.0} for row in down])


@pytest.mark.parametrize(("rest", "named"), [(0.16, True), (0.22, True), (0.23, False)])
def test_accuracy_lost_in_the_first_updates_is_named_once_and_early(rest, named):
    """GRPO without a warm rate: 24.5% before the first update, 16% after it."""
    start = [STEADY | {"accuracy": 0.245}, *(10 * [STEADY | {"accuracy": rest}])]
    assert (first_steps(start) == {"first_updates": 8}) is named
    assert alarms([*start, STEADY | {"accuracy": rest}]) == {}  # from step 12 on it is no start
    if rest == 0.16:
        assert "the first updates cost 0.09 accuracy" in alarms(start)["first_updates"]


def test_a_loss_that_its_batches_explain_is_none():
    noisy = [STEADY | {"accuracy": 0.55}, *(5 * [STEADY | {"accuracy": 0.3}, STEADY | {"accuracy": 0.5}])]
    assert first_steps(noisy) == {}


IDLE = STEADY | {"grad_norm": 0.0}


@pytest.mark.parametrize(
    ("rows", "causes"),
    [
        (5 * [STEADY] + 3 * [IDLE], set()),
        (4 * [STEADY] + 4 * [IDLE], {"drift"}),
        (1 * [STEADY] + 7 * [IDLE], {"drift"}),
        (8 * [IDLE], {"gradient"}),
        (4 * [STEADY] + 4 * [IDLE | {"health/no_step": 1.0}], set()),
    ],
)
def test_drift_through_updates_without_gradient(rows, causes):
    assert set(alarms(rows)) == causes


@pytest.mark.parametrize(
    ("settings", "drifts"),
    [
        ({"adam_beta1": 0.9}, True),
        ({"adam_beta1": 0.0}, False),
        ({"adam_beta1": 0.0, "weight_decay": 0.1}, True),
        ({"optim": "sgd"}, False),
    ],
)
def test_without_momentum_nothing_drifts(tmp_path, settings, drifts):
    out, args = io.StringIO(), TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **settings)
    watch = Watch(stream=out)
    for i, row in enumerate(4 * [STEADY] + 4 * [IDLE], 1):
        state = TrainerState()
        state.global_step, state.is_world_process_zero = i, True
        watch.on_log(args, state, TrainerControl(), logs=row)
    assert ("4 of the last 8 updates had no gradient at all" in out.getvalue()) is drifts
