"""The training pass computes each prompt once for its whole group.

G completions of one prompt become one sequence: the prompt without its last token, then for each completion the
prompt's last token and the completion. A mask lets a completion see the prompt and itself, and positions restart
behind the prompt, so every log-probability is what the plain forward gives (tests/test_packing.py, float32).

    plain     [P c1] [P c2] [P c3]            3 (P + T) tokens
    packed    [P- | p c1 | p c2 | p c3]       P + 3 (T + 1) tokens
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Packed:
    """Packed sequences: `U` distinct prompts, `L` the longest packed length.

    `attend_U1LL` is True where query i may see key j; `row_UL`, `column_UL` say which completion token (row of the
    batch, column) a position *is*, and -1 elsewhere.
    """

    input_ids_UL: Tensor
    position_ids_UL: Tensor
    attend_U1LL: Tensor
    row_UL: Tensor
    column_UL: Tensor

    @property
    def model_inputs(self) -> dict[str, Tensor]:
        """What the model's forward takes."""
        return {
            "input_ids": self.input_ids_UL,
            "attention_mask": self.attend_U1LL,
            "position_ids": self.position_ids_UL,
        }

    @property
    def where(self) -> tuple[Tensor, Tensor]:
        """Row and column, in the batch, of the completion tokens in the order in which they stand here."""
        taken = self.row_UL >= 0
        return self.row_UL[taken], self.column_UL[taken]

    @property
    def labels_UL(self) -> Tensor:
        """Token ids where a completion token stands, -100 elsewhere (labels in transformers' sense)."""
        return self.input_ids_UL.masked_fill(self.row_UL < 0, -100)


def can_pack(config: PreTrainedConfig) -> bool:
    """Whether a model of this config takes a free-form mask in every layer (no windows, SDPA attention)."""
    text = config.get_text_config()
    layers = getattr(text, "layer_types", None) or ["full_attention"]
    windowed = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    return set(layers) == {"full_attention"} and not windowed and config._attn_implementation == "sdpa"


def pack(prompt_ids: Tensor, prompt_mask: Tensor, completion_ids: Tensor, completion_mask: Tensor) -> Packed:
    """Pack a batch of B rows (prompts left-padded, completions right-padded) by distinct prompt.

    >>> packed = pack(torch.tensor([[7, 8], [7, 8]]), torch.ones(2, 2), torch.tensor([[1, 2], [3, 0]]),
    ...               torch.tensor([[1, 1], [1, 0]]))
    >>> packed.input_ids_UL
    tensor([[7, 8, 1, 2, 8, 3]])
    >>> packed.position_ids_UL
    tensor([[0, 1, 2, 3, 1, 2]])
    """
    device = prompt_ids.device
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(prompt_ids, prompt_mask, strict=True)]
    lengths = completion_mask.sum(1).tolist()
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(tuple(prompt), []).append(row)

    sequences = []
    for prompt, rows in groups.items():
        head = len(prompt) - 1
        ids, positions, segment, owner, column = (
            list(prompt[:-1]),
            list(range(head)),
            [0] * head,
            [-1] * head,
            [-1] * head,
        )
        for number, row in enumerate(rows, 1):
            n = int(lengths[row])
            if n == 0:
                continue
            ids += [prompt[-1], *completion_ids[row, :n].tolist()]
            positions += range(head, head + n + 1)
            segment += [number] * (n + 1)
            owner += [-1] + [row] * n
            column += [-1, *range(n)]
        sequences.append((ids, positions, segment, owner, column))

    longest = max(len(ids) for ids, *_ in sequences)

    def table(values: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([v + [fill] * (longest - len(v)) for v in values], device=device)

    segment_UL = table([s[2] for s in sequences], -1)
    same = segment_UL[:, :, None] == segment_UL[:, None, :]
    shared = segment_UL[:, None, :] == 0
    earlier = torch.ones(longest, longest, dtype=torch.bool, device=device).tril()
    # Padding (segment -1) sees earlier padding and itself, so that no row of the softmax is empty.
    attend = earlier & (same | (shared & (segment_UL[:, :, None] >= 0)))
    return Packed(
        input_ids_UL=table([s[0] for s in sequences], 0),
        position_ids_UL=table([s[1] for s in sequences], 0),
        attend_U1LL=attend[:, None],
        row_UL=table([s[3] for s in sequences], -1),
        column_UL=table([s[4] for s in sequences], -1),
    )
