"""How long completions may be where nobody says it, and what is said when many are cut off."""

from types import SimpleNamespace

import pytest

import rlvr
from rlvr.measure.limits import LONGEST, length_limit, warn_of_cuts
from rlvr.problems.sets import ProblemSet
from tests.fake_run import evaluation, sample


def model(max_new_tokens=None, context=None):
    return SimpleNamespace(
        generation_config=SimpleNamespace(max_new_tokens=max_new_tokens),
        config=SimpleNamespace(max_position_embeddings=context),
    )


@pytest.mark.parametrize(
    ("spec", "policy", "limit", "why"),
    [
        ("arithmetic", model(500, 4096), 96, "as the problem set says"),
        ("gsm8k", model(), 512, "as the problem set says"),
        ("jsonl", model(500, 4096), 500, "as the model's generation config says"),
        ("jsonl", model(None, 512), 256, "as nothing names another"),
        ("jsonl", model(None, 131072), LONGEST, "as nothing names another"),
        ("jsonl", None, LONGEST, "as nothing names another"),
    ],
)
def test_the_limit_comes_from_the_set_then_the_model(spec, policy, limit, why, capsys):
    assert length_limit(ProblemSet.of(spec), policy) == limit
    assert f"completions end at {limit} tokens, {why}" in capsys.readouterr().err


def test_a_limit_that_is_named_counts(cache, capsys):
    settings = {"data": "arithmetic(levels=[0])", "n": 2, "size": 2}
    assert rlvr.evaluate("tiny", **settings, max_completion_length=6).record["max_completion_length"] == 6
    said = capsys.readouterr().err
    assert "completions end at" not in said
    assert "100% of the completions were cut off at 6 tokens" in said
    assert rlvr.evaluate("tiny", **settings).record["max_completion_length"] == 96


@pytest.mark.parametrize(("cut", "said"), [(0, False), (2, False), (3, True)])
def test_more_than_two_in_a_hundred_cut_off_are_said(cut, said, capsys):
    samples = [sample(truncated=i < cut) for i in range(100)]
    warn_of_cuts(evaluation([{"id": "a", "task": "t", "gold": "4", "samples": samples}]))
    assert ("cut off at 96 tokens" in capsys.readouterr().err) == said
