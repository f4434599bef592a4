"""Check a path against the model's own forward, in the same precision, before anything is sampled from it.

In float32 both must give the same logits. In a lower precision no two orders of the same sums agree: SmolLM2's logits
in bfloat16 differ from its float32 ones by 0.1 of their spread at the worst of 49,152 tokens, whoever computes them.
There the fast path must be as close to the float32 model as the model's own forward in that precision is:

    mean KL(float32 || fast path)  <=  RATIO * mean KL(float32 || model's own, same precision) + FLOOR      [nats]

over the last positions of a few prompts. A mistake adds to the left side only. Seen for SmolLM2 on two prompts, as the
ratio of the two divergences: 1.1 when right, 3.5 with one rotary frequency off by a tenth, over 600 with the norms of
one layer swapped. The general path computes what the model computes; there it is the cache that is proven.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from rlvr.models.frozen import computing_in
from rlvr.models.load import without_adapters
from rlvr.models.sampling.general import PaddedReader
from rlvr.models.sampling.llama import LlamaForward
from rlvr.models.sampling.reader import SlotReader

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # largest difference, in spreads of the model's own logits
RATIO, FLOOR = 2.0, 1e-6
STEPS = 8  # positions of each prompt that are read one by one, as decoding does


class _Plain(nn.Module):
    """Hold a policy without the autocast that accelerate puts around its forward."""

    def __init__(self, policy: Any):
        super().__init__()
        self.policy, self.config = policy, policy.config

    def forward(self, input_ids: Tensor, **inputs: Any) -> Any:
        plain = getattr(self.policy, "_original_forward", self.policy.forward)
        with torch.autocast(input_ids.device.type, enabled=False):
            return plain(input_ids=input_ids, **{"use_cache": False, **inputs})


def policy_logits(policy: nn.Module, ids_BS: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the logits of the policy's own forward with its weights in `dtype`, as float32, (B, S, V)."""
    plain = _Plain(policy)
    other = {name: p for name, p in plain.named_parameters() if p.dtype != dtype and p.is_floating_point()}
    with computing_in(policy, dtype):  # weights in 4 bits stay as they are
        out = torch.func.functional_call(plain, {name: p.to(dtype) for name, p in other.items()}, (ids_BS,))
    return out.logits.float()


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


def cache_objection(policy: Any, prompts: Sequence[Sequence[int]]) -> str | None:
    """Return why the general path may not read a policy, None where it may, judged on `prompts` (token ids).

    It pads them on the left, reads them with a cache, repeats that for a group, and goes on token by token. In float32
    the logits must be those of each prompt read whole and alone; in a lower precision the reading must succeed.
    """
    base = without_adapters(policy)
    if "past_key_values" not in inspect.signature(type(base).forward).parameters:
        return "the forward takes no past_key_values"
    device, plain = next(policy.parameters()).device, _Plain(policy)
    prompts = [_at_least(prompts[0], 20), _at_least(prompts[-1], 20)[:-7]]  # of unlike lengths, so that one is padded
    steps = STEPS
    heads = [list(prompt[: len(prompt) - steps]) for prompt in prompts]
    tails_PT = torch.tensor([list(prompt[len(prompt) - steps :]) for prompt in prompts], device=device)
    try:
        with torch.no_grad():
            reader = PaddedReader(plain, heads, 0)
            rows = [reader.prefill(range(len(heads)), torch.arange(2 * len(heads), device=device).view(-1, 2))]
            rows = [rows[0].repeat_interleave(2, 0)]
            rows += [reader.step(tails_PT[:, i].long().repeat_interleave(2)) for i in range(steps)]
            read_PNV = torch.stack(rows, 1)[1::2].float()
            exact = [plain(torch.tensor([list(prompt)], device=device)).logits[0, -steps - 1 :] for prompt in prompts]
    except (TypeError, AttributeError, ValueError, RuntimeError, NotImplementedError) as error:
        return f"reading with a cache fails ({type(error).__name__}: {str(error).splitlines()[0]})"
    if (dtype := exact[0].dtype) in TOLERANCE:
        exact_PNV = torch.stack(exact)
        off = ((read_PNV - exact_PNV).abs().max() / (exact_PNV.std() + 1e-6)).item()
        if not off <= TOLERANCE[dtype]:
            return f"the logits of reading with a cache are off by {off:.3g} spreads"
    return None


def _at_least(ids: Sequence[int], length: int) -> list[int]:
    """Return token ids, repeated until there are enough of them."""
    return (list(ids) * (length // len(ids) + 1))[: max(len(ids), length)]


def _kl(exact_NV: Tensor, other_NV: Tensor) -> Tensor:
    """Return KL(exact || other) of each row, in nats."""
    p, q = (log_softmax(logits, -1) for logits in (exact_NV, other_NV))
    return (p.exp() * (p - q)).sum(-1)
