"""The weights that sample: the policy itself, or a low-precision copy refreshed when the policy has moved."""

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlvr.models.load import without_adapters


def plain_weights(policy: nn.Module) -> dict[str, torch.Tensor]:
    """Return the policy's parameters under the base model's names, with LoRA deltas merged in."""
    if not isinstance(policy, PeftModel):
        return dict(policy.named_parameters())
    base = policy.get_base_model()
    weights = {name.replace(".base_layer.", "."): p for name, p in base.named_parameters() if ".lora_" not in name}
    for name, module in base.named_modules():
        if isinstance(module, LoraLayer):
            for adapter in module.active_adapters:
                # The delta is added to a copy: merging into the base and back would leave rounding errors.
                key = f"{name}.weight"
                weights[key] = weights[key] + module.get_delta_weight(adapter)
    return weights


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
