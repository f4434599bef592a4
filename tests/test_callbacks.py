"""The metrics file, the line per step, and the warnings of a dying run."""

import io
import json
import math

import pytest
from transformers import TrainerState

from rlvr.core.answer_format import AnswerFormat
from rlvr.training.callbacks.alarms import alarms
from rlvr.training.callbacks.progress import MetricsFile, Progress, Watch

HEALTHY = {
    "reward": 0.5, "accuracy": 0.4, "format_rate": 0.9, "groups/mixed": 0.5, "groups/all_wrong": 0.3,
    "groups/all_right": 0.2, "kept": 1.0, "completions/clipped_ratio": 0.0, "completions/mean_length": 40.0, "grad_norm": 0.3,
}  # fmt: skip


def state(step=1, total=20):
    s = TrainerState()
    s.global_step, s.max_steps, s.is_world_process_zero = step, total, True
    return s


def warnings(rows):
    out = io.StringIO()
    watch = Watch(window=8, stream=out)
    for i, row in enumerate(rows, 1):
        watch.on_log(None, state(i), None, logs=row)
    return out.getvalue()


def test_metrics_file_holds_one_json_object_per_step_and_no_nan(tmp_path):
    writer = MetricsFile(tmp_path / "metrics.jsonl")
    writer.on_log(None, state(1), None, logs={"reward": 0.5, "kl": math.nan})
    writer.on_log(None, state(2), None, logs={"reward": 0.6})
    writer.on_log(None, state(2), None, logs={"train_runtime": 3.0})  # the trainer's farewell is not a step
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r["reward"]) for r in rows] == [(1, 0.5), (2, 0.6)]
    assert rows[0]["kl"] is None


def test_progress_prints_one_line_with_time_left():
    out = io.StringIO()
    progress = Progress(out)
    progress.on_train_begin(None, state(0), None)
    progress.on_log(None, state(5), None, logs=HEALTHY)
    (line,) = out.getvalue().splitlines()
    for piece in ("step  5/20", "reward 0.500", "right 40%", "format 90%", "mixed 50%", "left"):
        assert piece in line


def test_a_healthy_run_is_not_disturbed():
    assert warnings([HEALTHY] * 20) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups/all_wrong": 0.95, "groups/mixed": 0.05}, "95% of groups are all-wrong"),
        ({"groups/all_right": 0.96}, "96% of groups are all-right"),
        (
            {"format_rate": 0.02, "groups/all_wrong": 1.0},
            "only 2% of completions have the requested form, '<think>..</think><answer>",
        ),
        ({"completions/clipped_ratio": 0.8}, "80% of completions hit the length limit"),
        ({"kept": 0.05}, "only 5% of completions reach the loss"),
        ({"grad_norm": 0.0}, "the gradient is exactly 0"),
    ],
)
def test_a_dying_run_is_named_once_before_step_20(change, message):
    text = warnings([HEALTHY | change] * 19)
    assert message in text
    assert text.count("WARNING") == 1


@pytest.mark.parametrize(
    ("spec", "form", "advice"),
    [
        (["think", "answer"], "<think>..</think><answer>..</answer>", "fewer --tags"),
        (["answer"], "<answer>..</answer>", "boxed, last_number"),
        ("boxed(confidence='line')", "Confidence: ..", "the answer alone"),
        ("last_number", "..", "another --answer_format"),
    ],
)
def test_the_form_that_is_missing_is_the_one_that_was_asked_for(spec, form, advice):
    """It said "the requested tags ... fewer --tags" of every form."""
    text = alarms([HEALTHY | {"format_rate": 0.02}] * 8, answers=AnswerFormat.of(spec))["format"]
    assert form in text and advice in text
    assert ("tags" in text) == (advice == "fewer --tags")
