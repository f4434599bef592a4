"""YAML of any content is read into settings or refused in one line: types, keys, encodings, depth and size."""

import contextlib
import time

import pytest

from rlvr.commands.main import main
from rlvr.config.settings import EvalConfig, TrainConfig, parse_config
from rlvr.core.errors import RlvrError, SpecError
from rlvr.core.yaml_file import read_yaml
from rlvr.planning.ablation.arms import read_ablation

VALUES = {
    "int": "3", "bool": "true", "null": "~", "date": "2024-01-01", "map": "{a: 1}", "list": "[1, 2]", "nest": "[[a]]",
    "nan": ".nan", "text": "xyz", "empty": "''",
}  # fmt: skip
BOMB = (  # 10^9 values in nine lines: the reader must not follow the aliases, nor may whoever writes them out
    "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join(10 * ['*' + a])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
)  # fmt: skip


def refused(path) -> str:
    """The message, in one piece, of a recipe that cannot be used."""
    with pytest.raises(SpecError) as caught:
        parse_config(TrainConfig, [str(path)])
    return str(caught.value)


@pytest.mark.parametrize("key", ["1", "on", "~", "2024-01-01", "1.5"])
def test_a_key_that_is_no_text_is_named(tmp_path, key):
    path = tmp_path / "r.yaml"
    path.write_text(f"seed: 1\n{key}: 2\n")
    assert "Write it in quotes" in refused(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("system_prompt: \xe9\n".encode("latin-1"), "not UTF-8 (byte 0xe9)"),
        (b"rewards: " + b"[" * 5000 + b"]" * 5000, "over 50 levels"),
        (b"rewards: " + b"{a: " * 3000 + b"1" + b"}" * 3000, "over 50 levels"),
        (b"rewards: &a {a: *a}\n", "inside what it stands for"),
        (b"seed: " + b"9" * 5000, "is not YAML"),
        (b"seed: 2024-13-45\n", "is not YAML"),
        (b'system_prompt: "a \\ud800 b"', "half a character"),
        (BOMB.encode(), "over 100000 values"),
        (b"system_prompt: " + b"x" * 1_000_001, "over 1000000 characters"),
    ],
    ids=[
        "latin-1",
        "deep lists",
        "deep maps",
        "recursive",
        "5000 digits",
        "month 13",
        "half a character",
        "bomb",
        "megabytes",
    ],
)
def test_bytes_that_are_no_settings(tmp_path, body, message):
    path = tmp_path / "r.yaml"
    path.write_bytes(body)
    start = time.perf_counter()
    assert message in refused(path)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{" + ", ".join(BOMB.strip().split("\n")) + "}", "over 100000 values"),
        ("{a: " * 60 + "1" + "}" * 60, "over 50 levels"),
        ("{a: &a {b: *a}}", "inside what it stands for"),
        ("{a: 2024-13-45}", "is not YAML"),
        ("{a: " + "x" * 1_000_001 + "}", "over 1000000 characters"),
    ],
    ids=["bomb", "deep", "recursive", "month 13", "megabytes"],
)
@pytest.mark.parametrize("kind", [TrainConfig, EvalConfig])
def test_a_flag_that_is_a_mapping_has_the_bounds_of_a_file(kind, text, message):
    with pytest.raises(SpecError, match=message) as caught:
        parse_config(kind, argv=["--chat_template_kwargs", text])
    assert len(str(caught.value)) < 1000


def test_anchors_and_merges_of_an_honest_file_are_read(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: [*a, *a]}\n")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 1, "y": [{"x": 1}, {"x": 1}]}}
    path.write_text("")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("setting", "fine"),
    [
        ("seed", {"int"}),
        ("learning_rate", {"int"}),
        ("model", {"text", "empty"}),
        ("data", {"text", "empty"}),
        ("advantage", {"text", "empty"}),
        ("critic", {"text", "empty"}),
        ("eval_data", set()),
        ("tags", set()),
        ("system_prompt", {"null", "text", "empty"}),
        ("sft_data", {"null", "empty"}),
        ("log_rollouts", {"bool"}),
        ("max_completion_length", {"int"}),
        ("difficulty_band", set()),
    ],
)
def test_a_setting_takes_values_of_its_own_type_alone(tmp_path, setting, fine):
    path = tmp_path / "r.yaml"
    for name, value in VALUES.items():
        path.write_text(f"{setting}: {value}\n")
        if name in fine:
            parse_config(TrainConfig, [str(path)])
        else:
            assert setting in refused(path), name


@pytest.mark.parametrize("key", ["arms", "base", "set", "controls", "baseline", "seeds", "budget", "arm", "recipes"])
def test_every_part_of_an_ablation_takes_any_value_or_refuses_it(tmp_path, key):
    path = tmp_path / "a.yaml"
    for value in VALUES.values():
        if key == "arm":
            path.write_text(f"arms: {{A: {value}}}\nbase: [grpo, tiny]\n")
        elif key == "recipes":
            path.write_text(f"arms: {{A: {{recipes: {value}}}}}\nbase: [grpo, tiny]\n")
        else:
            path.write_text(f"arms: {{A: {{recipes: [grpo, tiny]}}}}\n{key}: {value}\n")
        with contextlib.suppress(RlvrError):
            read_ablation(path)


def test_an_arm_named_by_a_number_is_asked_for_quotes(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("arms: {1: {recipes: [grpo, tiny]}}\n")
    with pytest.raises(SpecError, match="Write it in quotes"):
        read_ablation(path)


def test_the_report_of_a_run_with_an_alias_bomb_for_settings(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(BOMB)
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5}\n')
    start = time.perf_counter()
    assert main(["report", str(run)]) == 0
    assert time.perf_counter() - start < 30
    assert "over 100000 values" in (run / "report.md").read_text()
