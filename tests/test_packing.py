"""Packing changes the cost of the training pass, not its result."""

import pytest
import torch
from transformers import GemmaConfig, GPT2Config, MistralConfig, Qwen2Config, Qwen3Config
from transformers.models.auto import AutoModelForCausalLM

from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import NAME, share_prompts
from rlvr.models.load import build_tiny
from tests.packed_rows import assert_same, batch, packed_logps


@pytest.mark.parametrize("seed", range(4))
def test_log_probabilities_and_gradients_equal_the_plain_forward(seed):
    assert_same(build_tiny(seed=0, hidden=64, layers=2)[0], batch(seed, rows=9, prompts=3))


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_prompt_of_one_token_and_a_single_row(rows):
    prompt = torch.full((rows, 1), 5)
    completion = torch.arange(6, 6 + 3 * rows).view(rows, 3)
    model, _ = build_tiny(seed=0, hidden=64, layers=2)
    assert_same(model, (prompt, torch.ones_like(prompt), completion, torch.ones_like(completion)))


@pytest.mark.parametrize("config", [Qwen2Config, Qwen3Config, GemmaConfig, MistralConfig])
def test_other_architectures(config):
    small = config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, sliding_window=None,
    )  # fmt: skip
    torch.manual_seed(0)
    assert_same(AutoModelForCausalLM.from_config(small), batch(1, rows=6, prompts=2))


def test_gradient_checkpointing_gives_the_same_gradients():
    model, _ = build_tiny(seed=0, hidden=64, layers=2)
    rows = batch(2, rows=6, prompts=2)
    share_prompts(model)
    model.train()
    packed_logps(model, *rows).sum().backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    packed_logps(model, *rows).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name])


def test_cost_by_hand():
    # 2 prompts of 4 tokens, 3 completions of 5 tokens each: 2 x (3 + 3 x (1 + 5)) = 42 positions, not 6 x 9 = 54
    prompt = torch.tensor([[3, 4, 5, 6]] * 3 + [[7, 8, 9, 10]] * 3)
    packed = pack(prompt, torch.ones_like(prompt), torch.full((6, 5), 11), torch.ones(6, 5))
    assert packed.input_ids_1L.numel() == 42


def test_no_completion_feels_another():
    """Brute force: changing one completion's tokens moves its own log-probabilities only."""
    model, _ = build_tiny(seed=0, hidden=64, layers=2)
    share_prompts(model)
    prompt, prompt_mask, completion, completion_mask = batch(7, rows=6, prompts=2)
    before = packed_logps(model, prompt, prompt_mask, completion, completion_mask)
    for row in range(6):
        other = completion.clone()
        other[row] = (other[row] + 1) * completion_mask[row]
        after = packed_logps(model, prompt, prompt_mask, other, completion_mask)
        moved = (after - before).abs().amax(1) > 1e-6
        assert moved.tolist() == [i == row and bool(completion_mask[row].any()) for i in range(6)]


def test_what_cannot_share_is_left_alone(tmp_path):
    model, _ = build_tiny(seed=0, hidden=64, layers=2)
    assert share_prompts(model)
    assert share_prompts(model)  # twice changes nothing
    model.save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"  # not in the files
    small = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 64,
    }
    windowed = AutoModelForCausalLM.from_config(MistralConfig(**small, num_key_value_heads=2, sliding_window=8))
    assert not share_prompts(windowed)
    assert windowed.config._attn_implementation == "sdpa"
    eager = AutoModelForCausalLM.from_config(GPT2Config(n_embd=32, n_layer=1, n_head=4), attn_implementation="eager")
    assert not share_prompts(eager)
    assert eager.config._attn_implementation != NAME
