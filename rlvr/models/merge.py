"""Merge a LoRA adapter into its base, as it samples: in float32, then rounded once."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.errors import ModelError
from rlvr.models.frozen import four_bit_layers
from rlvr.models.load import adapter_base, check_adapters_end, eos_ids, load_model


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter, not a whole model."""
    return (folder / "adapter_config.json").is_file()


def load_merged(
    folder: Path, dtype: torch.dtype, how: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the whole model of a folder in `dtype`, its adapter merged in if it is one, and the folder's tokenizer.

    `how`: with what the policy was loaded, beside the spec (see `load_model`): a base that was rounded to bfloat16 or
    4 bits is merged as it was trained beside, not as it was published. Raises ModelError where the base is gone.
    """
    if is_adapter(folder):
        check_adapters_end(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=how.get("trust_remote_code", False))
        model = _merged(folder, how)
    else:
        model, tokenizer = load_model(str(folder), **how, needs_chat=False)  # type: ignore[assignment]
    if model.generation_config is not None:
        model.generation_config.eos_token_id = eos_ids(model, tokenizer)  # it ends where it ended in training
    return model.to(dtype), tokenizer  # type: ignore[arg-type]


def _merged(folder: Path, how: dict[str, Any]) -> PreTrainedModel:
    """Return the base of an adapter, itself perhaps merged, with the adapter added in float32."""
    base_spec = adapter_base(folder)
    revision = LoraConfig.from_pretrained(str(folder)).revision or how.get("revision")
    if is_adapter(Path(base_spec).expanduser()):
        base = _merged(Path(base_spec).expanduser(), how)
    else:
        loaded, _ = load_model(base_spec, **{**how, "revision": revision}, needs_chat=False)
        base = _whole_numbers(loaded)  # type: ignore[arg-type]
    return PeftModel.from_pretrained(base.float(), str(folder)).merge_and_unload()  # type: ignore[operator]


def _whole_numbers(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model whose 4-bit weights are the numbers that they stand for."""
    layers = four_bit_layers(model)
    for layer in layers:
        layer.weight.quant_state.dtype = torch.float32  # as `frozen.dense` reads them
    return model.dequantize(torch.float32) if layers else model


def check_base_is_there(folder: Path) -> None:
    """Raise ModelError, saying how to make it again, where an adapter's base was a folder that is gone."""
    base = Path(adapter_base(folder)).expanduser()
    if base.is_absolute() and not base.is_dir():
        again = " It was a warm-up in the cache: rlvr warmup --config RUN/config.yaml makes it again."
        raise ModelError(
            f"The adapter {str(folder)!r} was trained on {str(base)!r}, which is not there."
            + (again if base.parent.name == "warmup" else " Put that folder back.")
        )
