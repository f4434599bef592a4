"""Recipes and flags: merged, typed, checked, written back."""

import json

import pytest
import yaml

from rlvr.config.recipe_files import RECIPES, read_recipes
from rlvr.config.settings import EvalConfig, TrainConfig, parse_config, to_yaml
from rlvr.core.errors import SpecError
from tests.commands import ADDONS, SCALES, WHOLE


def test_flags_win_over_recipes_and_later_recipes_over_earlier(tmp_path):
    (tmp_path / "mine.yaml").write_text("learning_rate: 1e-5\nmax_steps: 3\n")
    config = parse_config(TrainConfig, ["tiny", str(tmp_path / "mine.yaml")], ["--max_steps", "7"])
    assert (config.model, config.learning_rate, config.max_steps) == ("tiny", 1e-5, 7)


def test_yaml_numbers_in_scientific_notation_are_numbers(tmp_path):
    """YAML 1.1 reads 1e-5 as text; that must not become a text learning rate."""
    (tmp_path / "mine.yaml").write_text("learning_rate: 2e-6\n")
    assert parse_config(TrainConfig, [str(tmp_path / "mine.yaml")]).learning_rate == 2e-6
    (tmp_path / "mine.yaml").write_text("learning_rate: fast\n")
    with pytest.raises(SpecError, match="'learning_rate' must be a number, found 'fast'"):
        parse_config(TrainConfig, [str(tmp_path / "mine.yaml")])


@pytest.mark.parametrize(
    ("yaml_text", "argv", "message"),
    [
        ("learning_rat: 1.0", [], "No setting 'learning_rat'. Did you mean 'learning_rate'"),
        ("- a list", [], "must be a flat mapping of settings, found a list"),
        ("a: [", [], "is not YAML"),
        ("", ["--learning_rat", "1"], "No flag '--learning_rat'. Did you mean '--learning_rate'"),
        ("tags: [think, anwser]", [], "No tag 'anwser'. Did you mean 'answer'"),
        ("num_generations: 1", [], "at least 2 generations"),
        ("engine: vlm", [], "No engine 'vlm'"),
        ("attn_implementation: flash", [], "No attn_implementation 'flash'"),
        ("sft_data: rows.jsonl", [], "sft_data is 'rows.jsonl', but sft_steps is 0"),
        ("eval_n: 0", [], "eval_n must be at least 1, got 0"),
        ("rewards: []", [], "rewards must map reward terms to weights"),
        ("verify_timeout: -1", [], "verify_timeout must be a positive number"),
        ("per_device_train_batch_size: 6\nnum_generations: 4", [], "must be divisible by num_generations"),
    ],
)
def test_mistakes_are_named(tmp_path, yaml_text, argv, message):
    path = tmp_path / "r.yaml"
    path.write_text(yaml_text)
    with pytest.raises(SpecError, match=None) as caught:
        parse_config(TrainConfig, [str(path)], argv)
    assert message in str(caught.value)


def test_unknown_recipes_are_errors():
    with pytest.raises(SpecError, match="No recipe 'rlcrr'. Did you mean 'rlcr'"):
        read_recipes(["rlcrr"])
    with pytest.raises(SpecError, match=r"No recipe file 'nowhere.yaml'"):
        read_recipes(["nowhere.yaml"])


def test_a_written_config_reads_back_the_same(tmp_path):
    config = parse_config(TrainConfig, ["rlcr", "tiny"], ["--learning_rate", "3e-5", "--output_dir", "somewhere"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    again = parse_config(TrainConfig, [str(path)])
    assert to_yaml(again) == to_yaml(config)
    assert again.rewards == {"correct": 0.5, "brier": 0.5, "format": 0.5}
    assert "output_dir" not in yaml.safe_load(path.read_text())  # a run's own: feeding it back must not collide


def test_json_rewards_on_the_command_line():
    assert parse_config(TrainConfig, [], ["--rewards", '{"correct": 1, "format": 0.5}']).rewards["format"] == 0.5


def test_bf16_is_chosen_where_it_is_native():
    from rlvr.models.precision import native_bf16

    assert TrainConfig().bf16 is native_bf16(TrainConfig().device)
    assert TrainConfig(bf16=False).bf16 is False


def test_eval_config_defaults():
    assert parse_config(EvalConfig, (), ["--n", "64", "--set", "countdown"]).n == 64


def recipes():
    signals = [p.stem for p in sorted(RECIPES.glob("*.yaml")) if p.stem not in (*SCALES, *ADDONS, *WHOLE)]
    added = [["grpo", scale, addon] for scale in SCALES for addon in ADDONS]
    testbed = [[signal, "operators"] for signal in ("grpo", "nsr", "rlcr", "gdpo", "dcpo")]
    return (
        [["demo"], ["demo_tiny"], ["demo_tiny", "nsr"]]
        + testbed
        + [[s, scale] for s in signals for scale in SCALES]
        + added
    )


@pytest.mark.parametrize("names", recipes(), ids="-".join)
def test_every_recipe_resolves_and_passes_its_checks(names):
    """Everything that --dry_run does: terms, safety, chain, problems, gold answers."""
    from rlvr.planning.resolve import plan

    config = parse_config(TrainConfig, names, ["--use_vllm", "false", "--use_cpu", "true", "--bf16", "false"])
    resolved = plan(config)
    assert resolved.problems
    assert resolved.eval_problems


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n", "0"], "n must be at least 1, got 0"),
        (["--size", "0"], "size must be at least 1"),
        (["--temperature", "-1"], "temperature must be 0 (greedy) or more"),
        (["--top_p", "0"], "top_p must lie in (0, 1]"),
        (["--tags", "anwser"], "No tag 'anwser'. Did you mean 'answer'"),
        (["--dtype", "float23"], "Did you mean 'float32'"),
        (["--verify_timeout", "nan"], "verify_timeout must be a positive number"),
    ],
)
def test_mistakes_of_a_measurement_are_named(flags, message):
    with pytest.raises(SpecError) as caught:
        parse_config(EvalConfig, [], flags)
    assert message in str(caught.value)


def test_a_written_config_keeps_the_order_of_the_reward_terms():
    """The weighted sum of a resumed run went through them in another order."""
    terms = {"repetition": 0.3, "correct": 0.7, "brier": 0.1}
    text = to_yaml(parse_config(TrainConfig, ["grpo", "tiny"], ["--rewards", json.dumps(terms)]))
    assert list(yaml.safe_load(text)["rewards"]) == list(terms)
    assert list(yaml.safe_load(text)) == sorted(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_steps": 150}, 10),
        ({"max_steps": 50}, 5),
        ({"max_steps": 19}, 0),
        ({"num_train_epochs": 2}, 0.1),  # a share of what the epochs come to
        ({"max_steps": 150, "warmup_steps": 0}, 0),
        ({"max_steps": 150, "warmup_steps": 40}, 40),
    ],
)
def test_the_learning_rate_warms_up_unless_told_otherwise(settings, steps):
    """Without it Adam's first update, sign descent on noise, goes at the full rate."""
    assert TrainConfig(use_cpu=True, **settings).warmup_steps == steps
