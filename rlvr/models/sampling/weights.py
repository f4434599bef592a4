"""The weights that sample: the policy itself, or a low-precision copy refreshed when the policy has moved."""

from collections.abc import Iterator, Mapping

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlvr.models.frozen import dense
from rlvr.models.load import without_adapters


class PlainWeights(Mapping[str, torch.Tensor]):
    """Map the base model's names to a policy's weights, LoRA merged in and 4 bits made numbers.

    Each is computed when it is asked for, so that the merged ones are never all in memory.
    """

    def __init__(self, policy: nn.Module):
        base = without_adapters(policy)
        parameters = base.named_parameters()
        self._stored = {name.replace(".base_layer.", "."): p for name, p in parameters if ".lora_" not in name}
        self._lora = {f"{name}.weight": m for name, m in base.named_modules() if isinstance(m, LoraLayer)}

    def __getitem__(self, name: str) -> torch.Tensor:
        weight = dense(self._stored[name])
        if layer := self._lora.get(name):
            for adapter in layer.active_adapters:
                # The delta is added to a copy: merging into the base and back would leave rounding errors.
                weight = weight + layer.get_delta_weight(adapter)
        return weight

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def plain_weights(policy: nn.Module) -> PlainWeights:
    """Return the policy's parameters under the base model's names, with LoRA deltas merged in."""
    return PlainWeights(policy)


class SamplingWeights:
    """Hold the model that samples for `policy`.

    With `dtype` None, or equal to the policy's own, that model is the policy itself. Otherwise it is a copy in
    `dtype` which `refresh` overwrites in place (and which always has LoRA adapters merged in).
    """

    def __init__(self, policy: PreTrainedModel | PeftModel, dtype: torch.dtype | None = None):
        self.policy = policy
        self.model: nn.Module = policy
        if dtype is not None and dtype != next(policy.parameters()).dtype:
            base = without_adapters(policy)
            device = next(policy.parameters()).device
            # Built from the config, not deep-copied: TRL binds a patched forward to the policy instance.
            self.model = AutoModelForCausalLM.from_config(base.config, dtype=dtype).to(device).eval()
            self.model.requires_grad_(False)
            self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the policy's present weights; does nothing when the policy itself samples."""
        if self.model is not self.policy:
            fresh = plain_weights(self.policy)
            for name, parameter in self.model.named_parameters():
                parameter.copy_(fresh[name])
