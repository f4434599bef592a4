"""Every number of a run is checked where it enters: not finite, negative, zero where one is needed, too large."""

import pytest

from rlvr.config.settings import EvalConfig, TrainConfig, parse_config
from rlvr.core.errors import SpecError


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--temperature", "-1"], "temperature must be a positive number, got -1.0"),
        (["--temperature", "0"], "temperature must be a positive number, got 0.0"),
        (["--temperature", "inf"], "temperature must be a positive number, got inf"),
        (["--eval_temperature", "nan"], "eval_temperature must be 0 (greedy) or more, got nan"),
        (["--learning_rate", "nan"], "learning_rate must be at least 0, got nan"),
        (["--learning_rate", "-1"], "learning_rate must be at least 0, got -1.0"),
        (["--sft_learning_rate", "inf"], "sft_learning_rate must be at least 0, got inf"),
        (["--seed", "-1"], "seed must lie in [0, 4294967295], got -1"),
        (["--seed", str(2**40)], "seed must lie in [0, 4294967295], got 1099511627776"),
        (["--sampling_seed", "-1"], "sampling_seed must lie in [0, 4294967295]"),
        (["--eval_seed", "-1"], "eval_seed must lie in"),
        (["--data_size_seed", "-1"], "data_size_seed must lie in"),
        (["--num_generations", "0"], "num_generations must be at least 1, got 0"),
        (["--max_completion_length", "0"], "max_completion_length must be at least 1, got 0"),
        (["--max_completion_length", "-1"], "max_completion_length must be at least 1, got -1"),
        (["--per_device_train_batch_size", "0"], "per_device_train_batch_size must be at least 1"),
        (["--gradient_accumulation_steps", "0"], "gradient_accumulation_steps must be at least 1"),
        (["--sft_batch_size", "0"], "sft_batch_size must be at least 1"),
        (["--max_steps", "-2"], "max_steps must be at least -1"),
        (["--weight_decay", "nan"], "weight_decay must be at least 0"),
        (["--max_grad_norm", "-1"], "max_grad_norm must be at least 0"),
        (["--adam_beta2", "1"], "adam_beta2 must lie in [0, 0.999999999], got 1.0"),
        (["--logging_steps", "0"], "logging_steps must be a positive number"),
        (["--beta", "nan"], "beta must be at least 0"),
        (["--top_p", "0"], "top_p must lie in (0, 1]"),
        (["--difficulty_band", "0.2", "nan"], "difficulty_band must lie in [0, 1], got nan"),
    ],
    ids=str,
)
def test_a_number_that_no_run_can_have(flags, message):
    with pytest.raises(SpecError) as caught:
        parse_config(TrainConfig, argv=flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "-1"], "seed must lie in [0, 4294967295]"),
        (["--data_seed", str(2**40)], "data_seed must lie in"),
        (["--alpha", "1", "nan"], "alpha must lie in"),
        (["--temperature", "inf"], "temperature must be 0 (greedy) or more, got inf"),
    ],
    ids=str,
)
def test_a_number_that_no_measurement_can_have(flags, message):
    with pytest.raises(SpecError) as caught:
        parse_config(EvalConfig, argv=flags)
    assert message in str(caught.value)


def test_the_ends_of_the_ranges_are_inside():
    flags = "--seed 4294967295 --eval_temperature 0 --learning_rate 0 --top_p 1 --max_completion_length 1 --eval_size 0"
    config = parse_config(TrainConfig, argv=flags.split())
    assert (config.seed, config.eval_temperature, config.learning_rate) == (2**32 - 1, 0, 0)


def test_a_length_of_nothing_is_no_length():
    with pytest.raises(SpecError, match="max_completion_length must be a number of tokens, got null"):
        TrainConfig(max_completion_length=None)
