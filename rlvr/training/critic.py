"""The critic of PPO: what it is, what it learns from, how its gradient is kept in order, and its file.

HF's Trainer zeroes, clips and saves the parameters of the policy only. The critic's are outside: they are a group of
the same optimizer (so its moments and its schedule are checkpointed with the policy's), `CriticStep` clips and zeroes
their gradients, and `save` / `load` keep the weights beside each checkpoint.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.advantages.base import Transform, is_number
from rlvr.advantages.rollouts import Rollouts
from rlvr.core.console import say
from rlvr.core.errors import ModelError, SpecError, did_you_mean
from rlvr.models.load import without_adapters

CRITICS = ("none", "shared", "separate")
_FILE = "critic.safetensors"


class Critic(nn.Module):
    """Hold a value head, on the policy's own body ("shared") or on a copy of it ("separate").

    V = w . h + b in float32, h the body's last hidden state before a token. It starts at w = 0, b = 0: the first batch
    has the plain return as its credit, and no random state is touched. The copy has the body's first `layers` layers
    (0: all), and trains what the policy trains (under LoRA: the adapters).
    """

    def __init__(self, policy: PreTrainedModel | PeftModel, kind: str, layers: int = 0):
        super().__init__()
        body = body_of(policy)
        self.body = first_layers(body, layers) if kind == "separate" else None
        self.head = nn.utils.skip_init(nn.Linear, body.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, policy: PreTrainedModel | PeftModel, inputs: dict[str, Tensor], labels_BL: Tensor) -> Tensor:
        """Return the value before each labelled token (label != -100), in order."""
        body = body_of(policy) if self.body is None else self.body
        hidden = body(**inputs, use_cache=False).last_hidden_state
        before = hidden[:, :-1][labels_BL[:, 1:] != -100]
        with torch.autocast(hidden.device.type, enabled=False):
            return self.head(before.float())[:, 0]

    def trainable(self) -> list[nn.Parameter]:
        """Return the parameters that the critic's optimizer group moves (a shared body is the policy's)."""
        return [p for p in self.parameters() if p.requires_grad]

    def save(self, folder: Path) -> None:
        """Write the weights into a checkpoint folder."""
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / _FILE)

    def load(self, folder: Path) -> None:
        """Read the weights of a checkpoint folder; raises ModelError where there are none, or others."""
        if not (folder / _FILE).is_file():
            raise ModelError(
                f"{folder} holds no {_FILE}: that run had no critic. Start a new run, or use --critic none."
            )
        try:
            self.load_state_dict(load_file(folder / _FILE))
        except RuntimeError as error:
            raise ModelError(
                f"{folder / _FILE} is another kind of critic; keep --critic and --critic_layers: {error}"
            ) from error


def body_of(policy: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the policy without its language-model head (adapters included)."""
    return without_adapters(policy).base_model


def first_layers(body: PreTrainedModel, layers: int) -> PreTrainedModel:
    """Return a copy of the body with its first `layers` layers; 0 copies all."""
    copied = copy.deepcopy(body).eval()
    if layers:
        depth = len(getattr(copied, "layers", ()))
        if layers > depth:
            raise ModelError(
                f"critic_layers={layers}, but this model has {depth} layers to copy. 0 copies the whole body."
            )
        copied.layers = copied.layers[:layers]
        copied.config.num_hidden_layers = layers
    return copied


def check_critic(config: Any, advantage: Transform | None) -> None:
    """Raise SpecError for a critic that cannot work; needs no model."""
    kind = getattr(config, "critic", "none")
    if kind not in CRITICS:
        raise SpecError(did_you_mean("critic", kind, CRITICS))
    if kind == "none":
        return
    for name in ("critic_learning_rate", "value_coef"):
        if not (is_number(getattr(config, name)) and getattr(config, name) > 0):
            raise SpecError(f"{name} must be a number above 0, got {getattr(config, name)}.")
    if not (is_number(config.value_clip) and config.value_clip >= 0):
        raise SpecError(f"value_clip must be at least 0 (0 does not clip), got {config.value_clip}.")
    if config.critic_layers < 0 or (config.critic_layers and kind == "shared"):
        raise SpecError(f"critic_layers={config.critic_layers} needs --critic separate and a number of at least 0.")
    if PartialState().num_processes > 1 or config.deepspeed or config.fsdp:
        raise SpecError(
            f"A critic trains in one process only (found {PartialState().num_processes}; no FSDP, no DeepSpeed): "
            "nothing would average its gradients. Start one process, or use a critic-free advantage such as rloo."
        )
    probe = Rollouts.of([[1.0, 0.0]], values_PGT=torch.zeros(1, 2, 1))
    if advantage is None or advantage(probe).returns_PGT is None:
        raise SpecError(
            f"--critic {kind} needs an advantage that gives it its targets, such as ppo or gae; found {advantage}."
        )


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Return PPO's clipped squared error of each value (any shape), in reward units squared.

    max((V - R)^2, (V_clipped - R)^2) / 2,  V_clipped = V_old + clamp(V - V_old, -clip, clip)

    A value that ran past the clip towards its target gets gradient 0; one that ran away from it is felt in full.
    clip 0 does not clip. Not in 1707.06347 itself but in the program of its authors.

    >>> value_loss(torch.tensor([0.5]), torch.tensor([0.0]), torch.tensor([1.0]), 0.2)  # (0.2 - 1)^2 / 2
    tensor([0.3200])
    """
    loss = (values - returns).square()
    if clip:
        near = old_values + (values - old_values).clamp(-clip, clip)
        loss = torch.maximum(loss, (near - returns).square())
    return loss / 2


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """Return 1 - Var(R - V) / Var(R): 1 is a perfect critic, 0 a constant, below 0 worse; NaN if all R are equal.

    >>> explained_variance(torch.tensor([0.0, 0.5]), torch.tensor([0.0, 1.0]))
    0.75
    """
    returns = returns.double()
    if not returns.numel() or returns.max() == returns.min():
        return math.nan
    return 1 - ((returns - values).var(correction=0) / returns.var(correction=0)).item()


class CriticStep(TrainerCallback):
    """Clip the critic's gradient (norm over its own parameters) before an update and zero it afterwards.

    A gradient that is not finite is left out, and so is the one beside a policy's that was.
    """

    def __init__(self, critic: Critic, log: Callable[[str, float], None]):
        self.critic, self.log = critic, log

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        # After the Trainer's own clip, which has undone any fp16 scale for the whole optimizer.
        norm = nn.utils.clip_grad_norm_(self.critic.trainable(), args.max_grad_norm or math.inf)
        self.log("critic/grad_norm", norm.item())
        left_out = model is not None and all(p.grad is None for p in model.parameters())  # by SkipBadGradients
        if left_out or not norm.isfinite():
            self.critic.zero_grad()  # to None: an optimizer passes such parameters over
            if not left_out and not args.fp16:
                say(f"WARNING at step {state.global_step + 1}: the critic's gradient is not finite; it is left out")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.critic.zero_grad()
