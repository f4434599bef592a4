"""Compute logits fast for the Llama family: a plain forward over packed weights and a slot cache.

Llama, Mistral, Qwen2 and Qwen3 are one architecture with switches (biases on q, k, v; norms on q and k). Deleted from
transformers' forward: modules, hooks, masks for padding (prompts stand on the right side of nothing: position = column
of the cache), and one matrix product for each of q, k, v, gate and up. `misfit` says why a model is not taken;
trust.py compares its logits with the model's own before anything is sampled.

Axes: B rows, S new tokens of a row, H query heads, K key heads, D head size, C width, T cached positions.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention, silu

from rlvr.models.sampling.cache import SlotCache
from rlvr.models.sampling.linear import PackedLinear

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
ROPE_TYPES = ("default", "linear", "llama3")  # whose frequencies do not depend on the length


def misfit(model: Any) -> str | None:
    """Return why this forward would not be right for `model`, or None if it is."""
    config = model.config
    if config.model_type not in FAMILIES:
        return f"model type {config.model_type!r} is not one of {', '.join(FAMILIES)}"
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return "it has layers with another attention than full"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "it has a sliding window"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in ROPE_TYPES:
        return f"its rotary embedding is {rope!r}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act!r}"
    return None


class LlamaForward:
    """Compute next-token logits from fused weights in `dtype`; `refresh` loads them from named parameters."""

    def __init__(self, model: Any, dtype: torch.dtype):
        config = model.config
        self.dtype = dtype
        self.layers = config.num_hidden_layers
        self.heads = config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", None) or self.heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.rotary = model.model.rotary_emb

    def refresh(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the policy's present weights (names as in the model, LoRA merged in)."""

        def get(name: str) -> Tensor:
            return weights[name].detach().to(self.dtype)

        def fused(prefix: str, names: tuple[str, ...]) -> PackedLinear:
            bias = [get(f"{prefix}.{n}.bias") for n in names if f"{prefix}.{n}.bias" in weights]
            return PackedLinear(
                torch.cat([get(f"{prefix}.{n}.weight") for n in names]), torch.cat(bias) if bias else None
            )

        self.embed = get("model.embed_tokens.weight")
        self.blocks = []
        for i in range(self.layers):
            at = f"model.layers.{i}"
            qk_norm = f"{at}.self_attn.q_norm.weight" in weights
            self.blocks.append(
                (
                    get(f"{at}.input_layernorm.weight"),
                    fused(f"{at}.self_attn", ("q_proj", "k_proj", "v_proj")),
                    (get(f"{at}.self_attn.q_norm.weight"), get(f"{at}.self_attn.k_norm.weight")) if qk_norm else None,
                    fused(f"{at}.self_attn", ("o_proj",)),
                    get(f"{at}.post_attention_layernorm.weight"),
                    fused(f"{at}.mlp", ("gate_proj", "up_proj")),
                    fused(f"{at}.mlp", ("down_proj",)),
                )
            )
        self.norm = get("model.norm.weight")
        self.head = PackedLinear(get("lm_head.weight") if "lm_head.weight" in weights else self.embed, None)

    def prefill(self, ids_BS: Tensor, length_B: Tensor, cache: SlotCache, slots_BG: Tensor) -> Tensor:
        """Run whole prompts (right-padded), store their keys and values for every row of each group; logits (B, V)."""
        x = self._blocks(ids_BS, torch.arange(ids_BS.shape[1], device=ids_BS.device)[None], cache, slots_BG, None)
        return self.head(x[torch.arange(len(x), device=x.device), length_B - 1])

    def step(self, ids_B: Tensor, position_B: Tensor, cache: SlotCache, longest: int) -> Tensor:
        """Run one token of each of the first B slots, at `position_B` below `longest`; logits (B, V)."""
        cache.grow(longest)
        past = torch.arange(longest, device=ids_B.device) <= position_B[:, None]
        return self.head(self._blocks(ids_B[:, None], position_B[:, None], cache, None, past)[:, 0])

    def _blocks(self, ids_BS, position_BS, cache: SlotCache, slots_BG: Tensor | None, past_BT: Tensor | None) -> Tensor:
        x = embedding(ids_BS, self.embed)
        rows, tokens, _ = x.shape
        cos, sin = (v[:, :, None] for v in self.rotary(x, position_BS))  # (B, S, 1, D)
        for i, (norm1, qkv, qk_norm, out, norm2, gate_up, down) in enumerate(self.blocks):
            h = qkv(self._rms(x, norm1)).view(rows, tokens, self.heads + 2 * self.kv_heads, self.head_dim)
            q, k, v = h.split([self.heads, self.kv_heads, self.kv_heads], 2)
            if qk_norm is not None:
                q, k = self._rms(q, qk_norm[0]), self._rms(k, qk_norm[1])
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            if past_BT is None:
                cache.write_prompts(i, slots_BG, k.transpose(1, 2), v.transpose(1, 2))
                a = scaled_dot_product_attention(
                    q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True, enable_gqa=True
                ).transpose(1, 2)
            else:
                keys, values = cache.write_step(i, position_BS[:, 0], k[:, 0], v[:, 0], past_BT.shape[1])
                # the queries that share a key head stand where several tokens of one head would
                q = q.view(rows, self.kv_heads, self.heads // self.kv_heads, self.head_dim)
                a = scaled_dot_product_attention(q, keys, values, attn_mask=past_BT[:, None, None])
            x = x + out(a.reshape(rows, tokens, -1))
            gate, up = gate_up(self._rms(x, norm2)).chunk(2, -1)
            x = x + down(silu(gate).mul_(up))
        return self._rms(x, self.norm)

    def _rms(self, x: Tensor, weight: Tensor) -> Tensor:
        wide = x.float()
        return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin
