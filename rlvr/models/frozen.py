"""Hold a frozen base in less memory: in bfloat16, or in 4 bits by bitsandbytes (QLoRA, 2305.14314).

What is trained beside it, the LoRA adapters, stays in float32: an update of 1e-6 is lost in the rounding of bfloat16.
"""

import copy
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from rlvr.core.errors import ModelError, SpecError
from rlvr.models.precision import native_bf16


def check_bitsandbytes(what: str) -> None:
    """Raise ModelError where bitsandbytes is not installed; `what` is the setting that needs it."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"{what} needs bitsandbytes: pip install 'rlvr[quantize]'")


def check_base(base_dtype: str, quantize: str, adapters: bool) -> None:
    """Raise where a base in less memory cannot be trained on: without adapters, or without bitsandbytes.

    >>> check_base("bfloat16", "none", adapters=True)
    """
    asked = f"quantize {quantize!r}" if quantize != "none" else f"base_dtype {base_dtype!r}"
    if not adapters and (base_dtype, quantize) != ("float32", "none"):
        why = "4-bit weights cannot be trained" if quantize != "none" else "its small updates would round to nothing"
        raise SpecError(
            f"{asked} is for a frozen base, and lora_rank 0 trains all weights: {why}. Give --lora_rank 16, or leave "
            "it out (--bf16 true computes in bfloat16 over float32 weights)."
        )
    if quantize != "none":
        check_bitsandbytes(asked)


def four_bit(device: torch.device | str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return how transformers loads a base in 4 bits: NF4, its scales quantised too; products in the faster precision.

    `dtype`: precision that the weights are rounded to before, and that the others (embedding, head, norms) have.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if native_bf16(device) else dtype,
    )


def four_bit_layers(model: nn.Module) -> list[Any]:
    """Return the layers of a model whose weights are held in 4 bits."""
    return [m for m in model.modules() if hasattr(getattr(m, "weight", None), "quant_state")]


def keep_readable(model: PreTrainedModel) -> PreTrainedModel:
    """Keep bitsandbytes from repacking weights in place on CPUs with AVX512-BF16: they could not be read any more."""
    for layer in four_bit_layers(model):
        layer.support_avx512bf16_for_cpu = False
    return model


def dense(parameter: Tensor) -> Tensor:
    """Return the values of a parameter: itself, or what its 4 bits stand for, in float32.

    >>> dense(torch.ones(2))
    tensor([1., 1.])
    """
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return parameter
    from bitsandbytes.functional import dequantize_4bit

    state = copy.copy(state)
    state.dtype = torch.float32  # not of the weights before: products in float32 do not round to it either
    return dequantize_4bit(parameter.data, state)


@contextmanager
def computing_in(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Let layers in 4 bits multiply in `dtype` for a while (by themselves they round their inputs to bfloat16)."""
    layers = [m for m in four_bit_layers(model) if hasattr(m, "compute_dtype")]
    before = [layer.compute_dtype for layer in layers]
    try:
        for layer in layers:
            layer.compute_dtype = dtype
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.compute_dtype = was


def float32_adapters(model: nn.Module) -> None:
    """Give every trainable parameter back its float32: TRL rounds the adapters of a 4-bit base to bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()
