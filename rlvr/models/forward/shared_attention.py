"""Attend over a flat sequence in which completions share their prompt: each sees the prompt and itself, no more.

A dense mask over the flat sequence would cost (P + G T)^2 per group; here it is two ordinary attentions: the prompts
causally among themselves (P^2), and each completion over its prompt's keys and its own (T (P + T) each). It is an
attention function in transformers' sense: models whose attention goes through transformers' interface take it
unchanged, and without a `layout` it is transformers' own SDPA.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlvr.models.load import without_adapters

NAME = "shared_prompt"


@dataclass(frozen=True)
class Layout:
    """Map the flat positions to two tables: U prompts of up to P tokens, R completions of up to T tokens.

    A *cell* is a place in a table, numbered through both; `flat_C` is the flat position that a cell holds (0 for
    padding, where `real_C` is False), `cell_L` its inverse. `group_R` is the prompt of each completion, and
    `see_R1TK` which of its P + T keys each of its tokens sees.
    """

    flat_C: Tensor
    real_C: Tensor
    cell_L: Tensor
    group_R: Tensor
    see_R1TK: Tensor
    prompts: tuple[int, int]
    completions: tuple[int, int]

    @staticmethod
    def of(prompts: Sequence[range], completions: Sequence[range], group: Sequence[int], device: Any) -> "Layout":
        """Build the layout from the flat positions of every prompt and completion."""
        width, length = (max(map(len, spans), default=0) for spans in (prompts, completions))
        cells = [[*s, *[-1] * (width - len(s))] for s in prompts] + [
            [*s, *[-1] * (length - len(s))] for s in completions
        ]
        cell_C = torch.tensor([position for row in cells for position in row], device=device, dtype=torch.long)
        real_C = cell_C >= 0
        group_R = torch.tensor(group, device=device, dtype=torch.long)
        prompt_real_UP = real_C[: len(prompts) * width].view(len(prompts), width)
        earlier_TT = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        see_RTK = torch.cat(
            [
                prompt_real_UP[group_R][:, None].expand(-1, length, -1),
                earlier_TT.expand(len(completions), -1, -1),  # padding comes after: no real token sees it
            ],
            2,
        )
        return Layout(
            flat_C=cell_C.clamp(min=0),
            real_C=real_C,
            cell_L=real_C.nonzero()[:, 0][cell_C[real_C].argsort()],
            group_R=group_R,
            see_R1TK=see_RTK[:, None],
            prompts=(len(prompts), width),
            completions=(len(completions), length),
        )

    @property
    def model_inputs(self) -> dict[str, Any]:
        """Return the forward's arguments beside ids and positions; the mask keeps transformers from making one."""
        return {"layout": self, "attention_mask": self.real_C.new_zeros(1, 1, 1, 1)}


class _Move(torch.autograd.Function):
    """Compute x.index_select(0, index) for a partial permutation: its backward is an index_select too, no scatter."""

    @staticmethod
    def forward(ctx, x, index, back, real):
        ctx.save_for_backward(back, real)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        back, real = ctx.saved_tensors
        out = grad.index_select(0, back)
        if real is not None:
            out = out * real.view(-1, *[1] * (out.dim() - 1))
        return out, None, None, None


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention as `layout` says (heads-first tensors of batch 1); without one, transformers' SDPA."""
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    (prompts, width), (rows, length) = layout.prompts, layout.completions

    def tables(x: Tensor) -> tuple[Tensor, Tensor]:  # (1, H, L, D) -> (U, H, P, D) and (R, H, T, D)
        cells = _Move.apply(x[0].transpose(0, 1), layout.flat_C, layout.cell_L, None)
        head = prompts * width
        return (
            cells[:head].view(prompts, width, *cells.shape[1:]).transpose(1, 2),
            cells[head:].view(rows, length, *cells.shape[1:]).transpose(1, 2),
        )

    (query_U, query_R), (key_U, key_R), (value_U, value_R) = map(tables, (query, key, value))
    parts = []
    if width:
        parts.append(sdpa_attention_forward(module, query_U, key_U, value_U, None, **kwargs)[0].flatten(0, 1))
    if rows:
        key_R = torch.cat([key_U[layout.group_R], key_R], 2)
        value_R = torch.cat([value_U[layout.group_R], value_R], 2)
        attended, _ = sdpa_attention_forward(module, query_R, key_R, value_R, layout.see_R1TK, **kwargs)
        parts.append(attended.flatten(0, 1))
    return _Move.apply(torch.cat(parts), layout.cell_L, layout.flat_C, layout.real_C)[None], None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def share_prompts(model: PreTrainedModel | PeftModel) -> bool:
    """Make a model take a `layout`, if its attention can be replaced exactly; return whether it now does.

    Not for sliding windows, nor for another attention than SDPA, nor for models outside transformers' interface.
    """
    base = without_adapters(model)
    text = base.config.get_text_config()
    layers = getattr(text, "layer_types", None) or ["full_attention"]
    windowed = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    if set(layers) == {"full_attention"} and not windowed and base._supports_attention_backend:
        if base.config._attn_implementation == "sdpa":
            base.set_attn_implementation(NAME)
        return base.config._attn_implementation == NAME
    return False
