"""Answer-only log-likelihood: batched and padded against a naive loop over rows, and against TRL's own loss."""

import copy

import pytest
import torch
from peft import get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM

from rlvr.models.forward.token_rows import batches
from rlvr.models.load import lora_config
from rlvr.select.embed import pooled_embeddings
from rlvr.select.nll import answer_nll


def rows(n=13, vocab=200, seed=0):
    g = torch.Generator().manual_seed(seed)

    def ids(low, high):
        return torch.randint(3, vocab, (int(torch.randint(low, high, (1,), generator=g)),), generator=g).tolist()

    return [ids(1, 30) for _ in range(n)], [ids(1, 20) for _ in range(n)]


def naive(model, contexts, answers):
    """One row, one forward, no padding, the whole matrix of logits; also what transformers calls the loss."""
    out = []
    for context, answer in zip(contexts, answers, strict=True):
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([context + answer])).logits[0].log_softmax(-1)
        mine = [-logp[len(context) + t - 1, token].item() for t, token in enumerate(answer)]
        out.append(sum(mine) / len(mine))
    return out


@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_batched_equals_a_naive_loop(tiny, batch_tokens):
    contexts, answers = rows()
    ours = answer_nll(tiny[0], contexts, answers, batch_tokens)
    torch.testing.assert_close(ours.tolist(), naive(tiny[0], contexts, answers), rtol=1e-5, atol=1e-5)


def test_equals_transformers_loss_on_labels(tiny):
    (context,), (answer,) = rows(1)
    ids, labels = torch.tensor([context + answer]), torch.tensor([[-100] * len(context) + answer])
    with torch.no_grad():
        loss = tiny[0](input_ids=ids, labels=labels).loss
    torch.testing.assert_close(answer_nll(tiny[0], [context], [answer])[0], loss, rtol=1e-5, atol=1e-5)


def test_a_model_with_a_soft_cap_uses_its_own_head():
    config = Gemma2Config(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, final_logit_softcapping=2.0, sliding_window=64, pad_token_id=0,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    contexts, answers = rows(5, vocab=50)
    torch.testing.assert_close(
        answer_nll(model, contexts, answers).tolist(), naive(model, contexts, answers), rtol=1e-4, atol=1e-4
    )


def test_an_adapter_counts(tiny):
    """The body under a LoRA adapter carries its layers: same numbers as the wrapped model's own forward."""
    model = get_peft_model(copy.deepcopy(tiny[0]), lora_config(4)).eval()
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.3)
    contexts, answers = rows(4)
    ours = answer_nll(model, contexts, answers)
    torch.testing.assert_close(ours.tolist(), naive(model, contexts, answers), rtol=1e-5, atol=1e-5)
    assert (ours - answer_nll(tiny[0], contexts, answers)).abs().max() > 0.01


def test_the_model_is_left_as_it_was(tiny):
    model, state = tiny[0].train(), torch.random.get_rng_state()
    answer_nll(model, *rows(3))
    assert model.training
    assert torch.equal(state, torch.random.get_rng_state())
    model.eval()


def test_batches_hold_every_row_once_within_the_budget():
    lengths = [5, 1, 9, 3, 3, 40, 7]
    found = batches(lengths, 20)
    assert sorted(i for batch in found for i in batch) == list(range(7))
    assert all(len(b) * max(lengths[i] for i in b) <= 20 for b in found if len(b) > 1)
    assert batches([], 20) == []


def test_pooled_embeddings_equal_a_naive_loop(tiny):
    texts, _ = rows()
    ours = pooled_embeddings(tiny[0], texts, 70)
    with torch.no_grad():
        theirs = [tiny[0](torch.tensor([t]), output_hidden_states=True).hidden_states[-1][0].mean(0) for t in texts]
    torch.testing.assert_close(torch.tensor(ours), torch.stack(theirs), rtol=1e-4, atol=1e-5)
