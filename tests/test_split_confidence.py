"""Answer tokens get correctness, confidence tokens get calibration: by hand, and through the trainer."""

import math

import pyarrow.parquet as pq
import pytest
import torch

from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts
from rlvr.commands.main import main
from rlvr.core.errors import SpecError
from rlvr.models.load import build_tiny
from rlvr.training.confidence_start import confidence_start
from tests.commands import WARM

ROLLOUTS = Rollouts.of(
    [[1.0, 0.0, 0.0, 1.0]],
    confidence_PG=[[0.9, 0.9, 0.1, math.nan]],
    tokens_PG=[[4, 3, 2, 3]],
    split_PG=[[2, 2, 1, 3]],
)


def test_by_hand():
    """Correct 1 0 0 1: mean .5, std (ddof 0) .5, so +1 -1 -1 +1.

    lam 0: -|q - y| of the three that state one: -.1, -.9, -.1; mean -.3667, std .3771: .7071, -1.4142, .7071.
    """
    adv = build("split_confidence(lam=0.0, ddof=0, eps=1.0e-9)")(ROLLOUTS).adv[0]
    expected = [
        [1.0, 1.0, 0.7071, 0.7071],
        [-1.0, -1.0, -1.4142, 0.0],
        [-1.0, 0.7071, 0.0, 0.0],
        [1.0, 1.0, 1.0, 0.0],
    ]
    torch.testing.assert_close(adv, torch.tensor(expected), atol=1e-4, rtol=0)


def test_the_target_mixes_group_accuracy_and_own_correctness():
    """lam 1: the target is the accuracy .5 for all; distances .4, .4, .4 are equal, so confidence tokens get 0."""
    adv = build("split_confidence(lam=1.0)")(ROLLOUTS).adv[0]
    assert adv[0, 2:].abs().max() < 1e-3 and adv[1, 2].abs() < 1e-3
    assert adv[0, 0] > 0


def test_an_all_wrong_group_teaches_only_its_confidence():
    rollouts = Rollouts.of([[0.0, 0.0]], confidence_PG=[[0.2, 0.8]], tokens_PG=[[3, 3]], split_PG=[[2, 2]])
    adv = build("split_confidence")(rollouts).adv[0]
    assert not adv[:, :2].any()
    assert adv[0, 2] > 0 > adv[1, 2]


def test_dropped_completions_shape_no_baseline_and_carry_nothing():
    rollouts = Rollouts.of(
        [[1.0, 0.0, 0.0]], confidence_PG=[[0.9, 0.5, 0.4]], tokens_PG=[[2, 2, 2]], split_PG=[[1, 1, 1]],
        truncated_PG=[[False, False, True]],
    )  # fmt: skip
    two = Rollouts.of([[1.0, 0.0]], confidence_PG=[[0.9, 0.5]], tokens_PG=[[2, 2]], split_PG=[[1, 1]])
    adv = build("drop_truncated, split_confidence")(rollouts).adv[0]
    torch.testing.assert_close(adv[:2], build("split_confidence")(two).adv[0])
    assert not adv[2].any()


@pytest.mark.parametrize("spec", ["split_confidence(lam=1.5)", "split_confidence(eps=0)", "split_confidence(ddof=2)"])
def test_wrong_parameters_are_refused(spec):
    with pytest.raises(SpecError):
        build(spec)


@pytest.mark.parametrize(
    "text",
    [
        "<answer>4</answer><confidence>0.5</confidence>", "no tag at all", "<confidence>", "é<confidence>1</confidence>",
        "<confidence>0.1</confidence> so <confidence>0.2</confidence>", "",
    ],
)  # fmt: skip
def test_where_the_confidence_begins(text):
    """One token a byte: the bytes before the last tag are the tokens before it."""
    _, tokenizer = build_tiny(seed=0, hidden=64, layers=2)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    at = text.rfind("<confidence>")
    expected = len(ids) if at < 0 else len(tokenizer(text[:at], add_special_tokens=False)["input_ids"])
    assert confidence_start(tokenizer, ids) == expected
    assert tokenizer.decode(ids[expected:]).startswith("<confidence>") == (at >= 0)


def test_it_trains_and_both_signals_reach_the_rollouts(tmp_path, cache):
    argv = [
        "train", "--config", "dcpo", "tiny", *WARM, "--max_steps", "3", "--eval_size", "0", "--train_size", "16",
        "--per_device_train_batch_size", "16", "--num_generations", "4", "--no_report", "--output_dir", str(tmp_path / "run"),
    ]  # fmt: skip
    assert main(argv) == 0
    rows = [r for f in (tmp_path / "run" / "rollouts").glob("*.parquet") for r in pq.read_table(f).to_pylist()]
    assert any(r["confidence"] is not None and r["advantage"] for r in rows)
