"""The engine against transformers' own generate, and against itself however a batch is split."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rlvr.core.errors import ModelError
from rlvr.models.load import build_tiny
from rlvr.models.sampling import Engine, Sampling
from rlvr.models.sampling.llama import misfit
from rlvr.models.sampling.weights import SamplingWeights, plain_weights
from tests.greedy import PROMPTS, reference


def architectures():
    small = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": 2,
    }  # fmt: skip
    yield "qwen2", Qwen2ForCausalLM(Qwen2Config(**small)), "fast"  # biases on q, k, v
    yield "qwen3", Qwen3ForCausalLM(Qwen3Config(**small, head_dim=16)), "fast"  # norms on q and k, wide heads
    # sliding windows of 8 tokens in every other layer, soft-capped logits
    yield "gemma2", Gemma2ForCausalLM(Gemma2Config(**small, head_dim=8, sliding_window=8)), "general"
    yield "tiny", build_tiny(seed=1, hidden=64, layers=2)[0], "fast"


@pytest.mark.parametrize(("name", "model", "path"), architectures())
def test_greedy_equals_transformers_on_ragged_prompts(name, model, path):
    model = model.float().eval()
    eos = [1]
    expected = reference(model, PROMPTS, 24, eos)
    for fast in (True, False):
        engine = Engine(model, eos, 0, fast=fast)
        assert engine.generate(PROMPTS, 1, Sampling(24, 0.0), seed=0).ids == expected, name
        assert engine.path == (path if fast else "general")
        in_groups = engine.generate(PROMPTS, 3, Sampling(24, 0.0), seed=0)
        assert in_groups.ids == [ids for ids in expected for _ in range(3)]


@pytest.mark.parametrize(("name", "model", "path"), architectures())
def test_both_paths_sample_the_same_rows_with_the_same_log_probabilities(name, model, path):
    model = model.float().eval()
    fast, slow = (Engine(model, [1], 0, fast=f).generate(PROMPTS, 5, Sampling(20, 0.9), seed=5) for f in (True, False))
    assert fast.ids == slow.ids
    for a, b in zip(fast.logps, slow.logps, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_refilled_slots_give_what_one_wide_batch_gives(tiny):
    """120 rows through 8 slots: rows move, slots are used again, columns grow; nothing of the old tenant is seen."""
    model, _ = tiny
    prompts = [[3 + i % 40] * (1 + i % 9) for i in range(30)]
    ends = list(range(3, 23))  # ends early and late
    wide = Engine(model, ends, 0).generate(prompts, 4, Sampling(40), seed=2)
    assert 1 in map(len, wide.ids) and max(map(len, wide.ids)) > 10
    assert Engine(model, ends, 0, max_rows=8).generate(prompts, 4, Sampling(40), seed=2).ids == wide.ids
    assert Engine(model, ends, 0, max_rows=8, fast=False).generate(prompts, 4, Sampling(40), seed=2).ids == wide.ids


def test_a_forward_that_is_not_the_models_is_not_trusted(caplog):
    """A changed model (here: scaled attention) falls back to transformers' forward, and says so."""
    model, _ = build_tiny(seed=1, hidden=64, layers=2)
    for layer in model.model.layers:
        layer.self_attn.scaling *= 2.0
    engine = Engine(model.eval(), [1], 0)
    got = engine.generate(PROMPTS, 1, Sampling(24, 0.0), seed=0)
    assert engine.path == "general"
    assert "the fast path's logits are off" in caplog.text
    assert got.ids == reference(model, PROMPTS, 24, [1])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "gemma"}, "model type 'gemma' is not one of"),
        ({"hidden_act": "gelu"}, "activation"),
        ({"sliding_window": 8, "use_sliding_window": True}, "sliding window"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rotary"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "another attention"),
    ],
)
def test_what_the_fast_path_refuses(change, why):
    model, _ = build_tiny(seed=1, hidden=64, layers=2)
    assert misfit(model) is None
    for name, value in change.items():
        object.__setattr__(model.config, name, value)
    assert why in misfit(model)


@pytest.mark.slow
def test_greedy_equals_transformers_on_smollm2(smollm):
    model, tokenizer = smollm
    chats = ["What is 7 + 5?", "", "Name three colours and explain why you like them.", "2"]
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": c}], add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]
        for c in chats
    ]
    eos = [tokenizer.eos_token_id]
    assert Engine(model, eos, 2).generate(prompts, 1, Sampling(32, 0.0), seed=0).ids == reference(
        model, prompts, 32, eos
    )


def test_reported_log_probabilities_are_the_models(tiny):
    model, _ = tiny
    out = Engine(model, [1], 0).generate(PROMPTS, 4, Sampling(12, 0.8), seed=3)
    for i, (ids, logps) in enumerate(zip(out.ids, out.logps, strict=True)):
        prompt = PROMPTS[i // 4]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        want = (logits / 0.8).log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(logps), want, atol=1e-4, rtol=1e-4)


def test_same_seed_same_rollouts_however_the_batch_is_split(tiny):
    model, _ = tiny
    whole = Engine(model, [1], 0).generate(PROMPTS, 4, Sampling(16), seed=11)
    narrow = Engine(model, [1], 0, max_rows=4).generate(PROMPTS, 4, Sampling(16), seed=11)
    assert narrow.ids == whole.ids
    later = Engine(model, [1], 0).generate(PROMPTS[2:], 4, Sampling(16), seed=11, first_row=8)
    assert later.ids == whole.ids[8:]
    assert Engine(model, [1], 0).generate(PROMPTS, 4, Sampling(16), seed=12).ids != whole.ids


def test_ends_after_first_token_and_never(tiny):
    model, _ = tiny
    every = list(range(model.config.vocab_size))
    assert all(len(ids) == 1 for ids in Engine(model, every, 0).generate(PROMPTS, 2, Sampling(8), 0).ids)
    assert all(len(ids) == 8 for ids in Engine(model, [10**6], 0).generate(PROMPTS, 2, Sampling(8), 0).ids)
    assert all(len(ids) == 1 for ids in Engine(model, [10**6], 0).generate([[3]], 1, Sampling(1), 0).ids)


@pytest.mark.parametrize("fast", [True, False])
def test_one_prompt_and_256_sequences(tiny, fast):
    """Row r is the same in a group of 256 as in a group of 8; the rows are not copies of each other."""
    model, _ = tiny
    many = Engine(model, [1], 0, fast=fast).generate([[5, 6, 7]], 256, Sampling(4), seed=3)
    assert len(many.ids) == 256
    assert many.ids[:8] == Engine(model, [1], 0, fast=fast).generate([[5, 6, 7]], 8, Sampling(4), seed=3).ids
    assert len(set(map(tuple, many.ids))) > 200


def test_context_limit(tiny):
    model, _ = tiny
    limit = model.config.max_position_embeddings
    out = Engine(model, [10**6], 0).generate([[3] * (limit - 2)], 2, Sampling(50), 0)
    assert [len(ids) for ids in out.ids] == [2, 2]  # what the context has room for
    with pytest.raises(ModelError, match=f"Prompt 0 has {limit} tokens; the model's context holds {limit}"):
        Engine(model, [1], 0).generate([[3] * limit], 1, Sampling(4), 0)
    with pytest.raises(ModelError, match="Prompt 0 has no tokens"):
        Engine(model, [1], 0).generate([[]], 1, Sampling(4), 0)


@pytest.mark.parametrize("fast", [True, False])
def test_low_precision_copy_follows_the_policy(fast):
    policy, _ = build_tiny(seed=2, hidden=64, layers=2)
    engine = Engine(policy, [1], 0, dtype=torch.bfloat16, fast=fast)
    before = engine.generate(PROMPTS, 2, Sampling(8, 0.0), 0).ids
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(torch.randn_like(p) * 0.3)
    assert engine.generate(PROMPTS, 2, Sampling(8, 0.0), 0).ids == before  # a copy is a copy until refreshed
    engine.refresh()
    assert engine.generate(PROMPTS, 2, Sampling(8, 0.0), 0).ids != before
    assert all(p.dtype == torch.float32 for p in policy.parameters())  # the masters keep their precision
    copy = SamplingWeights(policy, torch.bfloat16).model
    weights = dict(copy.named_parameters())
    assert all(torch.equal(weights[n], p.to(torch.bfloat16)) for n, p in policy.named_parameters())


@pytest.mark.parametrize("fast", [True, False])
def test_lora_samples_from_the_merged_adapter(fast):
    base, _ = build_tiny(seed=2, hidden=64, layers=2)
    policy = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    x = torch.tensor([PROMPTS[2]])
    with torch.no_grad():
        expected = policy(x).logits
        merged = SamplingWeights(policy, torch.float64).model
        torch.testing.assert_close(merged(x).logits.float(), expected, atol=1e-4, rtol=1e-4)
        assert any("lora" in n for n, _ in policy.named_parameters())
        assert not any("lora" in n for n in plain_weights(policy))
    engine = Engine(policy, [1], 0, fast=fast)
    out = engine.generate(PROMPTS, 3, Sampling(12), seed=4)
    assert engine.path == ("fast" if fast else "general")
    for i, (ids, logps) in enumerate(zip(out.ids, out.logps, strict=True)):
        prompt = PROMPTS[i // 3]
        with torch.no_grad():
            logits = policy(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        assert logps == pytest.approx(logits.log_softmax(-1)[range(len(ids)), ids].tolist(), abs=1e-4)


def test_training_mode_and_global_rng_survive(tiny):
    model, _ = tiny
    model.train()
    state = torch.get_rng_state()
    Engine(model, [1], 0).generate(PROMPTS, 2, Sampling(4), 0)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    model.eval()


class DeviceReads(TorchDispatchMode):
    """Count the operations that give Python a value, or a shape that depends on values: on a GPU each one waits."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        by_mask = name.startswith("aten::index") and any(
            one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]
        )
        if by_mask or name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def engine_looking(model, every):
    policy, tokenizer = model
    return Engine(policy, [tokenizer.eos_token_id, 40], tokenizer.pad_token_id, max_rows=8, look_every=every)


@pytest.mark.parametrize("every", [2, 5, 8, 100])
def test_looking_less_often_for_ends_changes_no_token(tiny, every):
    """Rows that have ended go on being computed until the next look; refills and room to the last token included."""
    prompts = [[5, 6, 7], [8], [9, 10, 11, 12], [13, 14], [5, 9]]
    sampling = Sampling(max_tokens=24, temperature=1.3)
    each, some = (engine_looking(tiny, n).generate(prompts, 4, sampling, seed=3) for n in (1, every))
    assert {len(ids) for ids in each.ids} - {24}, "none ended early: nothing is tested"
    assert some.ids == each.ids
    np.testing.assert_allclose(np.concatenate(some.logps), np.concatenate(each.logps), atol=2e-6)


def test_device_reads_per_token(tiny):
    """Between two looks no step asks the device for a value: it could be captured as a CUDA graph."""
    counts = {}
    for every in (1, 8):
        engine = engine_looking(tiny, every)
        engine.eos_ids = [10**6]  # nothing ends before its room
        engine.generate([[5, 6, 7]], 4, Sampling(max_tokens=2), seed=0)  # the first call proves the fast path
        for tokens in (9, 65):
            with DeviceReads() as reads:
                engine.generate([[5, 6, 7]], 4, Sampling(max_tokens=tokens), seed=0)
            counts[every, tokens] = len(reads.names)
    assert counts[8, 65] - counts[8, 9] == 7  # 56 more tokens, a look at every eighth
    assert counts[1, 65] - counts[1, 9] == 56
