"""Ask the critic for its values and add its loss to the policy's (PPO, 1707.06347); one process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from rlvr.training.critic import Critic, explained_variance, value_loss
from rlvr.training.forward import Forward

_INPUTS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


@dataclass
class CriticLoss:
    """Hold a critic and how it is trained.

    Args:
        critic: the value head, and its body.
        forward: lays the batch out for it.
        policy: returns the policy, whose body a shared critic reads.
        value_coef: weight of the critic's loss beside the policy's.
        value_clip: how far a value may move from the old one (0: as far as it likes).
        learning_rate: of the critic's parameters.
    """

    critic: Critic
    forward: Forward
    policy: Callable[[], PreTrainedModel | PeftModel]
    value_coef: float
    value_clip: float
    learning_rate: float

    @classmethod
    def of(
        cls,
        args: Any,
        model: PreTrainedModel | PeftModel,
        forward: Forward,
        policy: Callable[[], PreTrainedModel | PeftModel],
        device: torch.device,
    ) -> "CriticLoss | None":
        """Build the critic that a run's settings ask for, on `device`; None where they ask for none."""
        if getattr(args, "critic", "none") == "none":
            return None
        critic = Critic(model, args.critic, args.critic_layers).to(device)
        return cls(critic, forward, policy, args.value_coef, args.value_clip, args.critic_learning_rate)

    @torch.no_grad()
    def values(self, out: Mapping[str, Any], batch_size: int) -> Tensor:
        """Return what the critic expects before each completion token of a generation batch, (N, T)."""
        parts = zip(*(out[name].split(batch_size) for name in _INPUTS), strict=True)
        return torch.cat([self.values_with_graph(dict(zip(_INPUTS, part, strict=True))) for part in parts])

    def values_with_graph(self, inputs: Mapping[str, Any]) -> Tensor:
        """Return the values (B, T) of a micro-batch, with their graph; 0 where there is no token."""
        input_ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        attention_mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        shape = inputs["completion_ids"].shape
        laid_out, labels, where = self.forward.layout(input_ids, attention_mask, shape[1])
        with self.forward.autocast():
            values = self.critic(self.policy(), laid_out, labels)
        return values.new_zeros(shape).index_put(where, values)

    def add_targets(self, out: dict[str, Any], values_NT: Tensor, returns_PGT: Tensor | None) -> float:
        """Put what the critic's loss needs beside the advantages; return how much the old values explain.

        TRL shuffles and splits them together.
        """
        assert returns_PGT is not None  # check_critic has seen that the advantage gives them
        out["old_values"], out["returns"] = values_NT, returns_PGT.flatten(0, 1).to(values_NT)
        taken = (out["completion_mask"] * out.get("tool_mask", 1)).bool()
        return explained_variance(values_NT[taken], out["returns"][taken])

    def __call__(self, inputs: Mapping[str, Any], updates: float) -> tuple[Tensor, float]:
        """Return value_coef times the mean error over the kept tokens of the batch, and that of this micro-batch.

        Whatever the loss_type; dapo's divisor: the tokens of the generation batch, for as many `updates` as it serves.
        """
        values_BT = self.values_with_graph(inputs)
        mask_BT = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        error_BT = value_loss(values_BT, inputs["old_values"], inputs["returns"], self.value_clip)
        error = (error_BT * mask_BT).sum()
        mean = (error.detach() / mask_BT.sum().clamp(min=1)).item()
        return self.value_coef * error * updates / inputs["num_items_in_batch"].clamp(min=1), mean

    def join(self, optimizer: Optimizer) -> None:
        """Make the critic's parameters one more group of the policy's optimizer, once."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if id(self.critic.head.weight) not in held:
            optimizer.add_param_group(
                {"params": self.critic.trainable(), "lr": self.learning_rate, "weight_decay": 0.0}
            )
