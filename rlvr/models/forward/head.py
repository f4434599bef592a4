"""Score completion tokens by the language-model head, in chunks: the logits of a batch are never all kept.

Same numbers as TRL's fused head. TRL's is a Triton kernel where there is Triton; elsewhere it scores every position
of the batch, prompts and padding too. This one scores the labelled positions and holds (CHUNK, vocabulary) logits.
"""

import functools
import types
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import PreTrainedConfig, PreTrainedModel

CHUNK = 256  # positions whose logits exist at once
_SCALED = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


class Scores(NamedTuple):
    """Hold what the head says of each labelled position, in order: log-probability and entropy, both in nats."""

    log_probs: Tensor
    entropy: Tensor


class _ChunkedScores(torch.autograd.Function):
    """Compute log softmax(h W' / temperature) at the targets, and its entropy; the backward computes logits again.

    d log p(y) / d z_j = [j = y] - p_j,  d H / d z_j = -p_j (log p_j + H),  z = h W' / temperature.
    """

    @staticmethod
    def forward(ctx, hidden_NC, weight_VC, bias_V, targets_N, temperature):
        ctx.set_materialize_grads(False)
        log_prob_N = hidden_NC.new_empty(len(hidden_NC), dtype=torch.float32)
        entropy_N, log_z_N = torch.empty_like(log_prob_N), torch.empty_like(log_prob_N)
        for rows in _chunks(len(hidden_NC)):
            z = _logits(hidden_NC[rows], weight_VC, bias_V, temperature)
            target = z.gather(1, targets_N[rows, None])[:, 0]
            log_p = torch.log_softmax(z, -1)
            log_prob_N[rows] = log_p.gather(1, targets_N[rows, None])[:, 0]
            log_z_N[rows] = target - log_prob_N[rows]
            entropy_N[rows] = -torch.linalg.vecdot(torch.exp(log_p, out=z), log_p)
        ctx.save_for_backward(hidden_NC, weight_VC, bias_V, targets_N, log_z_N, entropy_N)
        ctx.temperature = temperature
        return log_prob_N, entropy_N

    @staticmethod
    def backward(ctx, grad_log_prob_N, grad_entropy_N):  # type: ignore[override]
        hidden_NC, weight_VC, bias_V, targets_N, log_z_N, entropy_N = ctx.saved_tensors
        grad_hidden = torch.zeros_like(hidden_NC, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight_VC, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias_V, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        for rows in _chunks(len(hidden_NC)):
            hidden = hidden_NC[rows]
            log_p = _logits(hidden, weight_VC, bias_V, ctx.temperature).sub_(log_z_N[rows, None])
            pull: Any = 0.0 if grad_log_prob_N is None else grad_log_prob_N[rows, None]
            if grad_entropy_N is not None:
                pull = (log_p + entropy_N[rows, None]) * grad_entropy_N[rows, None] + pull
            grad = log_p.exp_().mul_(-pull)  # -p (d/d log p + (log p + H) d/dH)
            if grad_log_prob_N is not None:
                grad.scatter_add_(1, targets_N[rows, None], grad_log_prob_N[rows, None])
            if ctx.temperature != 1.0:
                grad.div_(ctx.temperature)
            low = grad.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = low @ weight_VC
            if grad_weight is not None:
                if low.dtype == torch.float32:
                    grad_weight.addmm_(low.T, hidden)
                else:
                    grad_weight.add_(low.T @ hidden)
            if grad_bias is not None:
                grad_bias.add_(grad.sum(0))

        def like(grad, value):
            return None if grad is None else grad.to(value.dtype)

        return like(grad_hidden, hidden_NC), like(grad_weight, weight_VC), like(grad_bias, bias_V), None, None


def _chunks(n: int) -> list[slice]:
    return [slice(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    z = torch.nn.functional.linear(hidden, weight, bias).float()
    return z if temperature == 1.0 else z.div_(temperature)


def score(hidden_NC: Tensor, weight_VC: Tensor, bias_V: Tensor | None, targets_N: Tensor, temperature: float) -> Scores:
    """Return the log-probability (nats) of each target and the entropy (nats) of its distribution.

    log p = log softmax(h W' / temperature)[target]; differentiable in h, W and the bias, entropy included.

    >>> scores = score(torch.zeros(1, 2), torch.zeros(4, 2), None, torch.tensor([3]), 1.0)
    >>> scores.log_probs.exp(), scores.entropy.exp()  # uniform over four tokens
    (tensor([0.2500]), tensor([4.]))
    """
    if torch.is_autocast_enabled(hidden_NC.device.type):
        low = torch.get_autocast_dtype(hidden_NC.device.type)
        hidden_NC, weight_VC = hidden_NC.to(low), weight_VC.to(low)
        bias_V = None if bias_V is None else bias_V.to(low)
    with torch.autocast(hidden_NC.device.type, enabled=False):
        return Scores(*_ChunkedScores.apply(hidden_NC, weight_VC, bias_V, targets_N, temperature))


def can_score(config: PreTrainedConfig) -> bool:
    """Return whether a model of this config reads its logits plainly: no soft cap, no scale."""
    text = config.get_text_config()
    return all(getattr(text, name, None) is None for name in _SCALED)


def add_scores(model: PreTrainedModel, temperature: float) -> None:
    """Make `model(..., labels=labels, scores=True)` return the `Scores` of the positions before each label.

    Through the model's own forward, so that every wrapper around it (DDP, PEFT, autocast) does its part.
    """
    other = model.forward

    @functools.wraps(type(model).forward)
    def forward(self, *args: Any, scores: bool = False, labels: Tensor | None = None, **kwargs: Any):
        if not scores:
            return other(*args, **kwargs) if labels is None else other(*args, labels=labels, **kwargs)
        assert labels is not None
        hidden = self.base_model(*args, use_cache=False, **kwargs).last_hidden_state
        head = self.get_output_embeddings()
        where = labels[:, 1:] != -100
        weight, bias = (p.full_tensor() if isinstance(p, DTensor) else p for p in (head.weight, head.bias))
        return score(hidden[:, :-1][where], weight, bias, labels[:, 1:][where], temperature)

    model.forward = types.MethodType(forward, model)
