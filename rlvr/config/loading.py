"""How a run's or a measurement's model is loaded: one place for training, warm-up, evaluation and the reference."""

from typing import Any

import torch

from rlvr.models.frozen import check_base, check_bitsandbytes
from rlvr.models.init_kwargs import split_kwargs


def loading(config: Any, model: str | None = None) -> dict[str, Any]:
    """Return what `load_model` takes beside the spec and the device, by a TrainConfig's or EvalConfig's settings.

    `model` is the spec of an evaluation; a run has its own. Raises SpecError for what another setting does, ModelError
    where a package is missing.
    """
    revision, changes = split_kwargs(config.model_init_kwargs, config.revision, model or config.model)
    if config.quantize != "none":
        check_bitsandbytes(f"quantize {config.quantize!r}")
    return {
        "dtype": getattr(torch, config.base_dtype),
        "quantize": config.quantize,
        "revision": revision,
        "config_changes": changes,
        "trust_remote_code": bool(getattr(config, "trust_remote_code", False)),
        "attn_implementation": getattr(config, "attn_implementation", "auto"),
        "chat_template": config.chat_template,
    }


def check_frozen_base(config: Any, adapters: bool) -> None:
    """Raise SpecError where the base is held in less memory and nothing beside it would be trained."""
    check_base(config.base_dtype, config.quantize, adapters)
