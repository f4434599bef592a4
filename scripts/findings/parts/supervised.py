"""Train small models on (prompt, reply) rows of any form, in plain steps: `rlvr warmup` refuses other forms."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from rlvr.models.chat import encode
from rlvr.problems.worked import Chat

BARE = {"bare": True}  # the text and one token where the turn changes (docs/testbed.md)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[tuple[Chat, str]],
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    template: Mapping[str, Any] | None = BARE,
) -> int:
    """Train on the replies alone, passing over the rows in random orders; return the reply tokens seen.

    `template`: what the chat template is to know.

    AdamW (0.9, 0.95) without weight decay, a tenth of the steps of warm-up, then a cosine to 0; gradients are cut at 1.
    """
    draw, order, tokens = random.Random(seed), list[int](), 0
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    contexts = encode(tokenizer, [chat for chat, _ in rows], template)
    ids = tokenizer([reply for _, reply in rows], add_special_tokens=False).input_ids
    replies = [[*one, tokenizer.eos_token_id] for one in ids]
    lengths = [len(context) + len(reply) for context, reply in zip(contexts, replies, strict=True)]
    model.train()
    for _ in range(steps):
        if len(order) < batch:
            order += draw.sample(range(len(rows)), len(rows))
        some, order = order[:batch], order[batch:]
        count, edge = sum(len(replies[i]) for i in some), 2 * min(lengths[i] for i in some)
        for part in ([i for i in some if lengths[i] <= edge], [i for i in some if lengths[i] > edge]):
            if part:  # apart from the long rows, the short ones need little padding
                _loss(model, [contexts[i] for i in part], [replies[i] for i in part], count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += count
    model.eval()
    return tokens


def _loss(
    model: PreTrainedModel, contexts: Sequence[list[int]], replies: Sequence[list[int]], count: int
) -> torch.Tensor:
    """Return the summed loss of the replies' tokens over `count`, the reply tokens of the whole step.

    No mask: padding stands on the right of causal attention, and its labels are ignored.
    """
    pad, parts = torch.nn.utils.rnn.pad_sequence, list(zip(contexts, replies, strict=True))
    ids = pad([torch.tensor([*context, *reply]) for context, reply in parts], True)
    labels = pad([torch.tensor([-100] * len(context) + reply) for context, reply in parts], True, -100)
    loss: torch.Tensor = model(input_ids=ids, labels=labels, num_items_in_batch=count).loss
    return loss
