"""Sample with transformers' own generate: slower than the other paths, right for whatever it can generate with.

It reads the tokens in its own way and with whatever the model keeps of them (a recurrent state, a cache under another
name); what is drawn, and when a row ends, is decided here. So a row gets the noise, the log-probabilities, the end
tokens and the length limit that it gets on the other paths, and with equal logits the same tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from rlvr.models.load import evaluating, without_adapters
from rlvr.models.sampling.rows import Rows


class _Draw(LogitsProcessor):
    """Draw the next token of each row by `Rows.take` and leave no other choice; say which rows have ended."""

    def __init__(self, rows: Rows, row_B: Tensor, pad_id: int):
        self.rows, self.row_B, self.pad_id = rows, row_B, pad_id
        self.live_B = torch.ones_like(row_B, dtype=torch.bool)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores that leave one token, (B, V): the drawn one, padding where a row has ended."""
        token_B = torch.full_like(self.row_B, self.pad_id)
        live_B = self.live_B.clone()
        if live_B.any():
            token_B[live_B], self.live_B[live_B] = self.rows.take(self.row_B[live_B], scores[live_B])
        return torch.full_like(scores, -torch.inf).scatter_(1, token_B[:, None], 0.0)


class _Ended(StoppingCriteria):
    """Stop the rows that have ended."""

    def __init__(self, draw: _Draw):
        self.draw = draw

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        """Return which rows have ended, (B,)."""
        return ~self.draw.live_B


def generate_rows(
    model: Any, prompts: Sequence[Sequence[int]], group_size: int, rows: Rows, pad_id: int, max_rows: int
) -> None:
    """Write every row of `rows` by `model.generate`: row r continues prompt r // group_size.

    Prompts of one length are read together, so nothing is padded: a recurrent state may not know padding. Nothing of
    the model's own generation config takes part (its top_k, its repetition penalty).
    """
    base = without_adapters(model)
    by_length: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).extend(range(i * group_size, (i + 1) * group_size))
    declared, base.generation_config = base.generation_config, GenerationConfig()
    try:
        with evaluating(base):
            for same_length in by_length.values():
                for start in range(0, len(same_length), max_rows):
                    some = same_length[start : start + max_rows]
                    row_B = torch.tensor(some, device=rows.room.device)
                    ids_BS = torch.tensor([list(prompts[r // group_size]) for r in some], device=rows.room.device)
                    draw = _Draw(rows, row_B, pad_id)
                    base.generate(  # type: ignore[operator]
                        inputs=ids_BS,
                        attention_mask=torch.ones_like(ids_BS),
                        generation_config=GenerationConfig(
                            max_new_tokens=int(rows.room[row_B].max()), do_sample=False, pad_token_id=pad_id
                        ),
                        logits_processor=[draw],
                        stopping_criteria=[_Ended(draw)],
                    )
    finally:
        base.generation_config = declared
