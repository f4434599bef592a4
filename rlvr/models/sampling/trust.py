"""Check the fast path against the model's own forward, in the same precision, before anything is sampled from it.

In float32 both must give the same logits. In a lower precision no two orders of the same sums agree: SmolLM2's logits
in bfloat16 differ from its float32 ones by 0.1 of their spread at the worst of 49,152 tokens, whoever computes them.
There the fast path must be as close to the float32 model as the model's own forward in that precision is:

    mean KL(float32 || fast path)  <=  RATIO * mean KL(float32 || model's own, same precision) + FLOOR      [nats]

over the last positions of a few prompts. A mistake adds to the left side only. Seen for SmolLM2 on two prompts, as the
ratio of the two divergences: 1.1 when right, 3.5 with one rotary frequency off by a tenth, over 600 with the norms of
one layer swapped.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from rlvr.models.sampling.llama import LlamaForward
from rlvr.models.sampling.reader import SlotReader

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # largest difference, in spreads of the model's own logits
RATIO, FLOOR = 2.0, 1e-6
STEPS = 8  # positions of each prompt that are read one by one, as decoding does


class _Plain(nn.Module):
    """Hold a policy without the autocast that accelerate puts around its forward."""

    def __init__(self, policy: nn.Module):
        super().__init__()
        self.policy = policy

    def forward(self, ids_BS: Tensor) -> Tensor:
        plain = getattr(self.policy, "_original_forward", self.policy.forward)
        with torch.autocast(ids_BS.device.type, enabled=False):
            return plain(input_ids=ids_BS, use_cache=False).logits


def policy_logits(policy: nn.Module, ids_BS: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the logits of the policy's own forward with its weights in `dtype`, as float32, (B, S, V)."""
    plain = _Plain(policy)
    weights = {name: p.to(dtype) for name, p in plain.named_parameters() if p.dtype != dtype}
    return torch.func.functional_call(plain, weights, (ids_BS,)).float()


def fast_logits(forward: LlamaForward, prompt: Sequence[int], steps: int) -> Tensor:
    """Return the fast path's logits at the last `steps` + 1 positions, of which it reads `steps` one by one."""
    device = forward.embed.device
    ids, read = torch.tensor(list(prompt), device=device), len(prompt) - steps
    reader = SlotReader(forward, [prompt[:read]], 0, 1, steps)
    rows = [reader.prefill(range(1), torch.zeros(1, 1, dtype=torch.long, device=device))]
    rows += [reader.step(ids[i : i + 1]) for i in range(read, len(prompt))]
    return torch.cat(rows).float()


def objection(policy: Any, forward: LlamaForward, prompts: Sequence[Sequence[int]]) -> str | None:
    """Return why the fast path's logits are not the policy's, None where they are, judged on `prompts` (token ids)."""
    dtype, device = forward.dtype, forward.embed.device
    low = dtype not in TOLERANCE
    off, fast_kl, model_kl = 0.0, [], []
    for prompt in prompts:
        steps = min(STEPS, len(prompt) - 1)
        ids, at = torch.tensor([list(prompt)], device=device), slice(len(prompt) - 1 - steps, None)
        exact = policy_logits(policy, ids, torch.float32 if low else dtype)[0, at]
        fast = fast_logits(forward, prompt, steps)
        if not fast.isfinite().all():
            return "the fast path's logits are not finite"
        if low:
            fast_kl.append(_kl(exact, fast))
            model_kl.append(_kl(exact, policy_logits(policy, ids, dtype)[0, at]))
        else:
            off = max(off, ((fast - exact).abs().max() / (exact.std() + 1e-6)).item())
    if low:
        off_fast, off_model = torch.cat(fast_kl).mean().item(), torch.cat(model_kl).mean().item()
        if off_fast > RATIO * off_model + FLOOR:
            return (
                f"the fast path's logits are off by {off_fast:.3g} nats, the model's own in {dtype} by {off_model:.3g}"
            )
    elif off > TOLERANCE[dtype]:
        return f"the fast path's logits are off by {off:.3g} spreads"
    return None


def _kl(exact_NV: Tensor, other_NV: Tensor) -> Tensor:
    """Return KL(exact || other) of each row, in nats."""
    p, q = (log_softmax(logits, -1) for logits in (exact_NV, other_NV))
    return (p.exp() * (p - q)).sum(-1)
