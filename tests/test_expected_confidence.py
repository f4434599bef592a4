"""The expectation of a stated confidence: against every way of writing it listed, and against the mean of samples."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

import rlvr
from rlvr.core.errors import DataError, SpecError
from rlvr.core.parse import parse_confidence
from rlvr.measure.expected_confidence import expected_confidences
from rlvr.measure.metrics import brier, summarise_eval
from tests.small_models import listable, taught

ONE = "operators(lengths=[1])"
SAID = ["0.2", "0.2", "0.7", "0.75", "1.0", "0.9", "1"]  # several lengths: no list of allowed values holds them all
ASKED = {"tags": ["answer", "confidence"], "system_prompt": "", "max_completion_length": 20}


@pytest.fixture(scope="module")
def unsure(tiny):
    """`tiny`, taught to state one of several confidences after each of two problems' answers."""
    problems = rlvr.problem_set("operators").load("test", 2, 0, lengths=(1,))
    lines = [
        (p.prompt[0]["content"], f"<answer>{p.answer}</answer><confidence>{q}</confidence>")
        for p, said in zip(problems, (SAID, SAID[:3]), strict=True)
        for q in said
    ]
    return taught(*tiny, lines, steps=200)


def test_it_is_the_mean_over_every_number_that_can_be_written():
    """Listed: up to four tokens before the closing tag, padding (which shows nothing) among them, and never the end."""
    model, tokenizer = listable("01.", ("<confidence>", "</confidence>"), seed=3)
    start, close = (tokenizer(tag)["input_ids"] for tag in ("<confidence>", "</confidence>"))
    mass = total = 0.0
    written = tokenizer.convert_tokens_to_ids([*"01.", "<pad>"])
    for length in (1, 2, 3, 4):
        texts = list(itertools.product(written, repeat=length))
        ids = torch.tensor([[*start, *text, *close] for text in texts])
        with torch.no_grad():
            chances = model(ids).logits[:, :-1].softmax(-1).gather(2, ids[:, 1:, None]).prod(1)[:, 0].tolist()
        for text, chance in zip(texts, chances, strict=True):
            value = parse_confidence(tokenizer.decode(text, skip_special_tokens=True))
            mass, total = mass + chance * (value is not None), total + chance * (value or 0)
    [found] = expected_confidences(model, tokenizer, [[]], [[*start, *written]], [1], least=0, longest=5)
    assert found == pytest.approx(total / mass, abs=1e-5)


def test_it_is_the_mean_of_many_samples(unsure, tiny):
    record = rlvr.evaluate(unsure, ONE, tokenizer=tiny[1], n=1000, size=2, q_expected=True, **ASKED).record
    means = []
    for problem in record["problems"]:
        said = [s for s in problem["samples"] if s["confidence"] is not None]
        means.append(Counter(s["q_expected"] for s in said).most_common(1)[0][0])  # that after the usual answer
        q = np.array([s["confidence"] for s in said if s["q_expected"] == means[-1]])
        assert len(q) > 700 and q.std() > 0.1  # one context, and draws that differ
        assert abs(q.mean() - means[-1]) < 4.5 * q.std() / len(q) ** 0.5
    assert abs(means[0] - means[1]) > 0.1


def test_metrics_read_it_in_place_of_what_was_sampled(unsure, tiny):
    record = rlvr.evaluate(unsure, ONE, tokenizer=tiny[1], n=50, size=2, q_expected=True, **ASKED).record
    samples = [s for problem in record["problems"] for s in problem["samples"] if s["confidence"] is not None]
    found = summarise_eval(record, confidence="expected")
    wanted = brier([s["q_expected"] for s in samples], [s["correct"] for s in samples])
    assert found["brier"].value == pytest.approx(float(wanted))
    assert found["brier"].value != summarise_eval(record)["brier"].value
    bare = rlvr.evaluate(unsure, ONE, tokenizer=tiny[1], n=2, size=2, **ASKED).record
    with pytest.raises(DataError, match="holds no expected confidences"):
        summarise_eval(bare, confidence="expected")


def test_where_no_number_is_likely_there_is_none(tiny):
    model, tokenizer = tiny
    texts = [
        "<answer>4</answer>",
        "<answer>4</answer><confidence>0.5</confidence>",
    ]  # random weights: no tag, no number
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert expected_confidences(model, tokenizer, [[5], [5]], ids, [tokenizer.eos_token_id]) == [None, None]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"tags": ["answer"]}, "asks for none in a tag"), ({**ASKED, "exact": True}, "exact samples nothing")],
)
def test_what_it_cannot_read_is_refused(given, message):
    with pytest.raises(SpecError, match=message):
        rlvr.evaluate("no-such/model", ONE, q_expected=True, **given)
