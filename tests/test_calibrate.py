"""`rlvr calibrate` on `tiny`, for real: held-out loss falls, answers stay; and what it refuses."""

import json

import pytest

from rlvr.models.load import load_model
from tests.commands import WARM

TINY = ["--config", "tiny", *WARM]


@pytest.fixture(scope="module")
def warm(cache):
    """A warmed-up tiny: it knows the tags, and states random confidences."""
    from rlvr.config.settings import TrainConfig, parse_config
    from rlvr.training.supervised.warmup import warmup, warmup_settings

    return str(warmup(warmup_settings(parse_config(TrainConfig, ["tiny"], TINY[2:]))))


def test_the_held_out_loss_falls(warm, tmp_path, cli):
    out = tmp_path / "calibrated"
    argv = ["--max_steps", "25", "--learning_rate", "5e-4", "--eval_size", "24", "--out", str(out)]
    done = cli("calibrate", warm, *TINY, *argv)
    assert done.code == 0
    facts = json.loads((out / "calibration.json").read_text())
    assert facts["n"] > 50
    assert facts["after"] < facts["before"] - 0.05
    assert 0 < facts["after"] < 0.3
    printed = done.out
    assert f"{facts['before']:.4f} -> {facts['after']:.4f}" in printed and str(out) in printed
    model, tokenizer = load_model(str(out))
    assert model.num_parameters() > 5e5 and tokenizer.pad_token

    done = cli("calibrate", warm, *TINY, *argv)
    assert done.code == 2
    assert "exists already" in done.err


@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("tiny", [], "states a readable confidence, so there is no slot to train. Warm the model up"),
        ("tiny", ["--tags", "think", "answer"], "ask for no confidence"),
        ("tiny", ["--eval_size", "0"], "nothing would be held out"),
        ("tinny", [], "Did you mean 'tiny'"),
    ],
)
def test_mistakes_end_with_a_message(model, flags, message, tmp_path, cli):
    argv = ["--train_size", "2", "--eval_size", "2", *flags, "--out", str(tmp_path / "x")]
    done = cli("calibrate", model, *TINY, *argv)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "x").exists()
