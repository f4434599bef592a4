"""Check and apply what `model_init_kwargs` asks for: changes of the model's config, and its revision."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from rlvr.core.errors import ModelError, SpecError, did_you_mean

# What rlvr has a setting of its own for, or decides itself: name -> what to do instead.
_ELSEWHERE = {
    **dict.fromkeys(("dtype", "torch_dtype"), "Give --base_dtype bfloat16 (with LoRA)."),
    **dict.fromkeys(("quantization_config", "load_in_4bit", "load_in_8bit"), "Give --quantize nf4 (with LoRA)."),
    "attn_implementation": "Give --attn_implementation.",
    "trust_remote_code": "Give --trust_remote_code true.",
    **dict.fromkeys(
        ("device_map", "max_memory", "offload_folder"), "Leave it out: a run's model is whole on its device."
    ),
    **dict.fromkeys(
        ("subfolder", "variant", "cache_dir", "token", "local_files_only", "gguf_file", "use_safetensors"),
        "Download the model first (hf download), and give its folder as the model.",
    ),
}


def foreign_kwargs(kwargs: Mapping[str, Any] | None) -> list[str]:
    """Return the names in `model_init_kwargs` that this loader does not take.

    >>> foreign_kwargs({"dtype": "bfloat16", "attention_dropout": 0.1, "revision": "main"})
    ['dtype']
    """
    return [name for name in kwargs or {} if name in _ELSEWHERE]


def split_kwargs(
    kwargs: Mapping[str, Any] | None, revision: str | None, model: str
) -> tuple[str | None, dict[str, Any]]:
    """Return the revision, and the changes of the model's config, that two settings ask for.

    Raises SpecError for what another setting does, two revisions, and the revision of what is no hub model.

    >>> split_kwargs({"revision": "v1", "attention_dropout": 0.1}, None, "owner/name")
    ('v1', {'attention_dropout': 0.1})
    """
    for name in foreign_kwargs(kwargs):
        raise SpecError(f"model_init_kwargs cannot hold {name!r}. {_ELSEWHERE[name]}")
    changes = dict(kwargs or {})
    inside = changes.pop("revision", revision)
    if revision is not None and inside != revision:
        raise SpecError(f"revision is {revision!r}, and model_init_kwargs asks for {inside!r}: give one of them.")
    if inside is not None and ("/" not in model or Path(model).expanduser().is_dir()):
        raise SpecError(f"revision {inside!r} is of a model on the hub, and {model!r} is none. Leave it out.")
    return inside, changes


def changed_config(source: str, changes: Mapping[str, Any], **options: Any) -> PreTrainedConfig:
    """Return the config of a folder or hub id with some of its values changed; ModelError for one that it lacks."""
    config, unknown = AutoConfig.from_pretrained(source, return_unused_kwargs=True, **options, **changes)
    for name in unknown:
        if name in changes:
            raise ModelError(did_you_mean(f"value of {source}'s config (model_init_kwargs)", name, config.to_dict()))
    return config
