"""Read what a model's files say of it, where something else than transformers loads its weights."""

from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, GenerationConfig, PreTrainedConfig


@dataclass(frozen=True)
class Declared:
    """Hold a model's config and generation config, under the names that a loaded model has for them."""

    config: PreTrainedConfig
    generation_config: GenerationConfig


def read_declared(source: str, **options: Any) -> Declared:
    """Return what a folder or hub id says of its model; `options` are those of `from_pretrained` (revision, ...).

    Without a generation_config.json it is derived from the config, as transformers does. Raises OSError or ValueError
    where there is no config.
    """
    config = AutoConfig.from_pretrained(source, **options)
    try:
        generation = GenerationConfig.from_pretrained(source, **options)
    except OSError:
        generation = GenerationConfig.from_model_config(config)
    return Declared(config, generation)
