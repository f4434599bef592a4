"""The tokenised Brier loss (ConfTuner, 2508.18847): calibration taught by supervision, at the confidence slot alone.

A confidence is written in several tokens, and in others by every tokenizer ("0", ".", "7" for a byte or a digit
tokenizer). So each *allowed value* v is scored by the probability of its whole token sequence after the model's own
completion up to `<confidence>`, and these are normalised over the allowed values:

    p_v = P(tokens of v | prompt, completion up to the tag) / sum over allowed u of P(tokens of u | ...)
    loss = sum_v p_v (y - v)^2,    y = 1 if the answer was right, else 0

which is the expected Brier score of a confidence sampled among the allowed values. The allowed values are those of the
warm-up, 0.0, 0.1, ..., 1.0: written with equally many digits, so that none begins another. A value is scored up to its
last digit; what comes after it is left as it is, and so is the probability of writing no allowed value at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.answer_format import DEFAULT, AnswerFormat
from rlvr.core.errors import DataError

VALUES = tuple(i / 10 for i in range(11))


@dataclass(frozen=True)
class Slot:
    """Hold one stored sample: the tokens before its stated confidence, those of each allowed value, the verdict."""

    context: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]
    correct: bool


def slot(
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[int],
    text: str,
    correct: bool,
    answers: AnswerFormat = DEFAULT,
) -> Slot:
    """Return the slot of a completion `text` that states a confidence; the last one counts, as for the parser.

    The tokens that all values share (a tokenizer may join the tag and a first digit) belong to the context.

    >>> from rlvr.models.load import tiny_tokenizer
    >>> tokenizer = tiny_tokenizer()
    >>> stated = slot(tokenizer, [1], "<answer>4</answer><confidence>0.3</confidence>", True)
    >>> tokenizer.decode(stated.context[1:]), [tokenizer.decode(tail) for tail in stated.tails[:2]]
    ('<answer>4</answer><confidence>', ['0.0', '0.1'])
    """
    span = answers.confidence_span(text)
    if span is None:
        raise DataError(f"There is no confidence in the form {str(answers)!r} in {text!r:.120}.")
    before = text[: span[1]]
    written = tokenizer([f"{before}{value}" for value in VALUES], add_special_tokens=False)["input_ids"]
    shared = next(i for i, tokens in enumerate(zip(*written, strict=False)) if len(set(tokens)) > 1)
    context = (*prompt_ids, *written[0][:shared])
    return Slot(context, tuple(tuple(ids[shared:]) for ids in written), correct)


def collate(slots: Sequence[Slot], pad_id: int) -> dict[str, Tensor]:
    """Return the batch of B slots: one row per distinct beginning of a value, not one per value.

    "0." leads to ten of the eleven values and "1." to the last, so a slot costs two forwards: `input_ids` (rows,
    left-padded), `attention_mask`, `position_ids`; `index` (4, K) says for each token of a value which row, which place
    from the end and which token it is, and to which slot * V + value it belongs; `correct` (B,).
    """
    rows: list[tuple[int, ...]] = []
    index: list[tuple[int, int, int, int]] = []
    for i, one in enumerate(slots):
        heads: dict[tuple[int, ...], int] = {}
        for v, tail in enumerate(one.tails):
            row = heads.setdefault(tail[:-1], len(rows))
            if row == len(rows):
                rows.append(one.context + tail[:-1])
            index += [(row, len(tail) - j, token, i * len(VALUES) + v) for j, token in enumerate(tail)]
    width = max(map(len, rows))
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in rows])
    return {
        "input_ids": torch.tensor([[pad_id] * (width - len(ids)) + list(ids) for ids in rows]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "index": torch.tensor(index).T,
        "correct": torch.tensor([float(one.correct) for one in slots]),
    }


def value_logps(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """Return log P(tokens of value v | context) for each slot of a batch of `collate`, (B, V), in nats."""
    row, from_end, token, owner = batch["index"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
    logits = model(**inputs, logits_to_keep=int(from_end.max())).logits.float()
    picked = logits.log_softmax(-1)[row, logits.shape[1] - from_end, token]
    sums = picked.new_zeros(len(batch["correct"]) * len(VALUES)).index_add(0, owner, picked)
    return sums.view(-1, len(VALUES))


def tokenised_brier(logps_BV: Tensor, correct_B: Tensor) -> Tensor:
    """Return sum_v p_v (y - v)^2 for each sample, (B,), in [0, 1]; p = softmax of `logps_BV` over the allowed values.

    Proper: over samples that are right with probability q it is least when all mass is on the allowed value nearest
    to q (2508.18847).

    >>> even = torch.zeros(1, 11)
    >>> tokenised_brier(even, torch.tensor([1.0]))  # mean of (1 - v)^2 over 0.0, 0.1, ..., 1.0: 3.85 / 11
    tensor([0.3500])
    """
    distance = (correct_B[:, None] - logps_BV.new_tensor(VALUES)).square()
    return (logps_BV.softmax(-1) * distance).sum(-1)
