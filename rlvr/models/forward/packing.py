"""Pack a batch so that the forward computes each prompt once for its whole group, and nothing for padding.

A batch becomes one flat sequence: for every distinct prompt the prompt without its last token, then for each of its
completions the prompt's last token and the completion. Positions restart after the prompt and attention
(shared_attention.py) lets a completion see its prompt and itself, so every log-probability is what the plain forward
gives (tests/test_packing.py, float32).

    plain     [P c1] [P c2] [P c3]            3 (P + T) tokens
    packed    [P- | p c1 | p c2 | p c3]       P + 3 (T + 1) tokens
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlvr.models.forward.shared_attention import Layout


@dataclass(frozen=True)
class Packed:
    """Hold a batch as one flat sequence of `L` tokens.

    `row_1L`, `column_1L` say which completion token (row of the batch, column) a position *is*, and -1 elsewhere.
    """

    input_ids_1L: Tensor
    position_ids_1L: Tensor
    row_1L: Tensor
    column_1L: Tensor
    layout: Layout

    @property
    def model_inputs(self) -> dict[str, Tensor | Layout]:
        """Return what the model's forward takes."""
        return {"input_ids": self.input_ids_1L, "position_ids": self.position_ids_1L, **self.layout.model_inputs}

    @property
    def where(self) -> tuple[Tensor, Tensor]:
        """Return row and column, in the batch, of the completion tokens in the order in which they stand here."""
        taken = self.row_1L >= 0
        return self.row_1L[taken], self.column_1L[taken]

    @property
    def labels_1L(self) -> Tensor:
        """Return token ids where a completion token stands, -100 elsewhere (labels in transformers' sense)."""
        return self.input_ids_1L.masked_fill(self.row_1L < 0, -100)


def pack(prompt_ids: Tensor, prompt_mask: Tensor, completion_ids: Tensor, completion_mask: Tensor) -> Packed:
    """Pack a batch of B rows (prompts left-padded, completions right-padded) by distinct prompt.

    >>> packed = pack(torch.tensor([[7, 8], [7, 8]]), torch.ones(2, 2), torch.tensor([[1, 2], [3, 0]]),
    ...               torch.tensor([[1, 1], [1, 0]]))
    >>> packed.input_ids_1L
    tensor([[7, 8, 1, 2, 8, 3]])
    >>> packed.position_ids_1L
    tensor([[0, 1, 2, 3, 1, 2]])
    """
    device = prompt_ids.device
    # Read once: on a GPU every read waits for all that was asked of it before.
    prompt_ids, prompt_mask, completion_ids, completion_mask = (
        values.cpu() for values in (prompt_ids, prompt_mask, completion_ids, completion_mask)
    )
    lengths = completion_mask.sum(1).tolist()
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, (prompt_row, mask) in enumerate(zip(prompt_ids, prompt_mask, strict=True)):
        groups.setdefault(tuple(prompt_row[mask.bool()].tolist()), []).append(row)

    ids: list[int] = []
    positions: list[int] = []
    owner: list[int] = []
    column: list[int] = []
    prompt_spans: list[range] = []
    own_spans: list[range] = []
    group_of_own: list[int] = []
    for group, (prompt, rows) in enumerate(groups.items()):
        head = len(prompt) - 1
        prompt_spans.append(range(len(ids), len(ids) + head))
        ids += prompt[:-1]
        positions += range(head)
        owner += [-1] * head
        column += [-1] * head
        for row in rows:
            n = int(lengths[row])
            if n == 0:
                continue
            own_spans.append(range(len(ids), len(ids) + n + 1))
            group_of_own.append(group)
            ids += [prompt[-1], *completion_ids[row, :n].tolist()]
            positions += range(head, head + n + 1)
            owner += [-1] + [row] * n
            column += [-1, *range(n)]

    def flat(values: list[int]) -> Tensor:
        return torch.tensor([values], device=device)

    layout = Layout.of(prompt_spans, own_spans, group_of_own, device)
    return Packed(flat(ids), flat(positions), flat(owner), flat(column), layout)
