"""Model specs: packaged, tiny, local folders; the cache; clear errors."""

import json
import threading

import pytest
import torch

from rlvr.core.errors import ModelError
from rlvr.core.parse import TAGS
from rlvr.models.load import (
    TINY,
    build_tiny,
    cached,
    eos_ids,
    load_model,
    lora_config,
    packaged_path,
    tiny_tokenizer,
    trainable_parameters,
)


def test_tiny_is_the_same_for_the_same_seed_and_leaves_the_rng_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b, c = (build_tiny(seed)[0] for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.lm_head.weight, c.lm_head.weight)
    assert 0.8e6 < a.num_parameters() < 1.3e6


@pytest.mark.parametrize(
    "text", ["12+3=15", "é 日本 \U0001f600", "<think>a</think><answer>1</answer>", " \n\t x", "<|im_end|"]
)
def test_tiny_tokenizer_round_trips(text):
    tok = tiny_tokenizer()
    assert tok.decode(tok(text).input_ids, skip_special_tokens=True) == text


def test_tiny_tags_are_single_tokens_and_survive_decoding():
    tok = tiny_tokenizer()
    for tag in TAGS:
        assert len(tok(f"<{tag}>").input_ids) == len(tok(f"</{tag}>").input_ids) == 1
    chat = tok.apply_chat_template([{"role": "user", "content": "1+1?"}], add_generation_prompt=True, tokenize=False)
    assert chat == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"


class Bomb:
    """An object whose unpickling writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_pickled_weights_are_not_opened(tmp_path):
    model, tokenizer = build_tiny(hidden=64, layers=1)
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.save({"model.embed_tokens.weight": Bomb(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_saved_model_loads_from_its_folder(tmp_path):
    model, tokenizer = build_tiny(seed=4, hidden=64, layers=2)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, tok = load_model(str(tmp_path))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))
    assert tok("<answer>").input_ids == tokenizer("<answer>").input_ids
    assert tok.chat_template == tokenizer.chat_template


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smollm2-135m-instrukt", "No model 'smollm2-135m-instrukt'. Did you mean 'smollm2-135m-instruct'"),
        ("./nowhere", "No model './nowhere'"),
        ("nobody/nothing", "Cannot load the model 'nobody/nothing'"),
    ],
)
def test_unknown_models(spec, message):
    with pytest.raises(ModelError) as caught:
        load_model(spec)
    assert message in str(caught.value)


def test_cache_is_built_once_by_two_threads_and_never_half(cold_cache):
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "a").write_text("1")

    threads = [threading.Thread(target=cached, args=("x/y", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert (cold_cache / "x" / "y" / "a").read_text() == "1"

    def fails(folder):
        (folder / "half").write_text("")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        cached("x/z", fails)
    assert not (cold_cache / "x" / "z").exists()
    assert sorted(p.name for p in (cold_cache / "x").iterdir()) == ["y", "y.lock", "z.lock"]


def test_eos_ids_hold_the_tokenizers_and_the_models(tiny):
    model, tokenizer = tiny
    assert eos_ids(model, tokenizer) == [tokenizer.eos_token_id]


def test_lora_trains_a_few_percent():
    from peft import get_peft_model

    assert lora_config(0) is None
    base, _ = load_model(TINY)
    total = trainable_parameters(base)
    assert 0 < trainable_parameters(get_peft_model(base, lora_config(4))) < 0.1 * total


def test_packaged_model_is_dense_and_speaks(smollm):
    model, tokenizer = smollm
    assert model.num_parameters() == 134_515_008
    assert next(model.parameters()).dtype == torch.float32
    assert "quantization_config" not in json.loads((packaged_path() / "config.json").read_text())
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 7 + 5?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = model.generate(**ids, max_new_tokens=24, do_sample=False)
    assert "12" in tokenizer.decode(out[0, ids["input_ids"].shape[1] :])
