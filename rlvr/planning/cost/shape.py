"""The shape of a model, read from its config on the meta device: no weight is loaded or allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.errors import ModelError
from rlvr.models.forward.head import can_score
from rlvr.models.forward.shared_attention import share_prompts
from rlvr.models.init_kwargs import changed_config
from rlvr.models.load import (
    PACKAGED,
    TINY,
    build_tiny,
    model_source,
    packaged_path,
    tiny_path,
    tiny_tokenizer,
    trainable_parameters,
)
from rlvr.models.sampling.llama import misfit


@dataclass(frozen=True)
class Shape:
    """Hold what the cost of a decoder depends on; sizes in numbers, not bytes.

    `products_IO` are the (inputs, outputs) of every linear layer of the body: LoRA adapts them, sampling packs them.
    `fast`, `packs` and `own_head` say which of rlvr's cheaper paths takes this model.
    """

    parameters: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocab: int
    tied: bool
    context: int | None
    products_IO: tuple[tuple[int, int], ...]
    fast: bool
    packs: bool
    own_head: bool
    adapter_rank: int = 0

    @property
    def head(self) -> int:
        """Return how many numbers the language-model head has, V x C."""
        return self.vocab * self.width

    @property
    def body(self) -> int:
        """Return how many numbers the linear layers of the body have."""
        return sum(inputs * outputs for inputs, outputs in self.products_IO)

    def lora(self, rank: int) -> int:
        """Return the numbers that LoRA of this rank adds to the body's linear layers: rank x (inputs + outputs)."""
        return rank * sum(inputs + outputs for inputs, outputs in self.products_IO)


def shape_of(model: PreTrainedModel, adapter_rank: int = 0) -> Shape:
    """Return the shape of a model (of any device, meta too)."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
    inner = max((m.out_features for m in linears), default=config.hidden_size)
    return Shape(
        parameters=trainable_parameters(model),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        inner=getattr(config, "intermediate_size", None) or inner,
        vocab=config.vocab_size,
        tied=head is not None and head.weight is model.get_input_embeddings().weight,
        context=getattr(config, "max_position_embeddings", None),
        products_IO=tuple((m.in_features, m.out_features) for m in linears),
        fast=misfit(model) is None,
        packs=share_prompts(model),
        own_head=can_score(model.config),
        adapter_rank=adapter_rank,
    )


def read_shape(
    spec: str,
    trust_remote_code: bool = False,
    revision: str | None = None,
    config_changes: Mapping[str, Any] | None = None,
) -> Shape:
    """Return the shape of a model spec as `load_model` takes it; raises ModelError where its config is not found.

    >>> read_shape("tiny").parameters
    1018368
    """
    if spec == TINY and not config_changes:
        with torch.device("meta"):
            return shape_of(build_tiny()[0])
    source = str(tiny_path() if spec == TINY else packaged_path()) if spec in (TINY, PACKAGED) else model_source(spec)
    rank = 0
    try:
        if (Path(source) / "adapter_config.json").is_file():
            adapter = PeftConfig.from_pretrained(source)
            rank, source = getattr(adapter, "r", 0), adapter.base_model_name_or_path
            if source in (TINY, PACKAGED):
                return Shape(**{**vars(read_shape(source)), "adapter_rank": rank})
            revision = adapter.revision or revision
        config = changed_config(source, config_changes or {}, trust_remote_code=trust_remote_code, revision=revision)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        offline = "" if Path(source).is_dir() else " If this machine cannot reach the hub, use a local folder."
        raise ModelError(f"Cannot read the shape of {spec!r}: {str(error).splitlines()[0]}{offline}") from error
    return shape_of(model, rank)


def read_tokenizer(spec: str, trust_remote_code: bool = False, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model spec, without its model; raises ModelError where there is none."""
    if spec == TINY:
        return tiny_tokenizer()
    source = str(packaged_path()) if spec == PACKAGED else model_source(spec)
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code, revision=revision)
    except (OSError, ValueError) as error:
        raise ModelError(f"Cannot load the tokenizer of {spec!r}: {str(error).splitlines()[0]}") from error
