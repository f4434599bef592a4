"""Tiny random models of the architectures that people bring, over the tokenizer of `tiny`; the layers are mixed where
the real ones are: a sliding window beside full attention, a recurrent state beside attention, experts."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rlvr.models.load import tiny_tokenizer

_HEAD = {"head_dim": 8}
_SLIDING = {**_HEAD, "sliding_window": 8, "query_pre_attn_scalar": 8}
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
_LINEAR = {f"linear_{name}": 2 if name.startswith("num") else 8 for name in (
    "num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim"
)}  # fmt: skip
SETTINGS: dict[str, dict] = {
    "llama": {},
    "qwen2": {},
    "qwen3": _HEAD,
    "qwen3_moe": {**_HEAD, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gemma2": _SLIDING,
    "gemma3_text": {**_SLIDING, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {},
    "smollm3": {"no_rope_layer_interval": 2},
    "olmo2": {},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "granitemoehybrid": {
        **_MAMBA, "layer_types": ["mamba", "attention"], "num_local_experts": 0, "shared_intermediate_size": 64
    },
    "qwen3_5_text": {**_HEAD, **_LINEAR, "layer_types": ["linear_attention", "full_attention"]},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1, "chunk_size": 16},
}  # fmt: skip
FAST = ("llama", "qwen2", "qwen3")  # which the fast path takes
GENERATE = ("mamba2",)  # which only transformers' generate can read
PACKED = ("llama", "qwen2", "qwen3", "qwen3_moe", "phi3", "smollm3", "olmo2")  # whose prompts can be shared in training


def random_model(kind: str, seed: int = 0) -> PreTrainedModel:
    """Return a model of this type with random weights, about 40,000 of them."""
    tokenizer = tiny_tokenizer()
    config = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
            "initializer_range": 0.1,
            **SETTINGS[kind],
        },
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).float().eval()
