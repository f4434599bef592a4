"""transformers' own generate as an engine: the model's probabilities, the same tokens where nothing is drawn."""

import pytest
import torch

import rlvr
from rlvr.core.errors import ModelError, SpecError
from rlvr.measure.sample import make_engine, make_generate_engine
from rlvr.models.sampling import Sampling

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12]]


def test_greedy_tokens_and_log_probabilities_are_those_of_the_engine(tiny):
    model, tokenizer = tiny
    greedy = Sampling(8, temperature=0.0)
    ours = make_engine(model, tokenizer).generate(PROMPTS, 2, greedy, 0)
    theirs = make_generate_engine(model, tokenizer).generate(PROMPTS, 2, greedy, 0)
    assert theirs.ids == ours.ids
    for mine, other in zip(ours.logps, theirs.logps, strict=True):
        assert other == pytest.approx(mine, abs=1e-4)


@pytest.mark.parametrize("sampling", [Sampling(6, 0.7), Sampling(6, 1.3, 0.8), Sampling(6, 1.0, 1.0, 5)])
def test_log_probabilities_are_the_models_own_before_truncation(tiny, sampling):
    model, tokenizer = tiny
    engine = make_generate_engine(model, tokenizer)
    found = engine.generate(PROMPTS, 3, sampling, seed=1)
    assert len(found.ids) == 6
    for row, (ids, logps) in enumerate(zip(found.ids, found.logps, strict=True)):
        prompt = PROMPTS[row // 3]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].float() / sampling.temperature
        expected = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        assert logps == pytest.approx(expected.tolist(), abs=1e-4)
        if sampling.top_k:
            ranks = (logits > logits.gather(1, torch.tensor(ids)[:, None])).sum(1)
            assert int(ranks.max()) < sampling.top_k


def test_a_prompt_draws_the_same_whatever_stands_before_it_and_leaves_the_random_state_alone(tiny):
    model, tokenizer = tiny
    engine = make_generate_engine(model, tokenizer)
    before = torch.random.get_rng_state()
    whole = engine.generate(PROMPTS, 2, Sampling(6), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    part = engine.generate(PROMPTS[1:], 2, Sampling(6), seed=3, first_row=2)
    assert part.ids == whole.ids[2:]
    assert engine.generate(PROMPTS, 2, Sampling(6), seed=4).ids != whole.ids
    with pytest.raises(ModelError, match="Prompt 0 has 600 tokens; the model's context holds 512"):
        engine.generate([[5] * 600], 1, Sampling(6), seed=0)


def test_evaluate_takes_the_engine(cache):
    settings = {"data": "arithmetic(levels=[0])", "n": 2, "size": 2, "max_completion_length": 6}
    greedy = [rlvr.evaluate("tiny", **settings, temperature=0.0, engine=e) for e in ("rlvr", "transformers")]
    assert greedy[0].texts["text"].tolist() == greedy[1].texts["text"].tolist()
    with pytest.raises(SpecError, match="No engine 'transfomers'. Did you mean 'transformers'"):
        rlvr.evaluate("tiny", **settings, engine="transfomers")
    with pytest.raises(SpecError, match="rlvr's own engine"):
        rlvr.evaluate("tiny", **settings, engine="transformers", expert="tiny", antiexpert="tiny")
