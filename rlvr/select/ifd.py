"""Score instruction-following difficulty and its reverse, under the student to be trained (2308.12032, 2402.10110)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.models.chat import encode
from rlvr.problems.worked import Chat
from rlvr.select.nll import BATCH_TOKENS, answer_nll

GUESS = "Guess which question this reply answers.\n{reply}\nThe question was:"
DIRECT = ("empty", "bare")


@dataclass(frozen=True)
class PairScore:
    """Hold both difficulties of one (prompt, reply) pair, ratios of perplexities above 0; 1 is no help at all.

    Attributes:
        ifd: ppl(reply | prompt) / ppl(reply), the `ifd_ppl` of Reflection_Tuning's code. High: hard for this student
            even with the prompt, so worth learning.
        rifd: ppl(prompt | reply) / ppl(prompt). Low: the reply tells the prompt, so the two belong together.
        ifd_loss: nll(reply | prompt) / nll(reply), the ratio of mean losses by which Cherry_LLM's code ranks; None
            where the reply alone has no loss. It orders pairs much as `ifd` does, but is another number.
    """

    ifd: float
    rifd: float
    ifd_loss: float | None = None


def score_pairs(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[Chat, str]],
    *,
    direct: str = "empty",
    max_length: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    template: Mapping[str, Any] | None = None,
) -> list[PairScore | None]:
    """Return both scores of each (chat, reply) pair, in order; None where one of its texts exceeds the context.

    IFD = exp(nll(reply | chat) - nll(reply)), r-IFD = exp(nll(question | GUESS with the reply) - nll(question)), nll
    per token; the question is the last message of the chat. Nothing is cut to fit: a cut text is another text.

    Args:
        direct: what stands before a text scored alone. "empty": the same chat with the partner left out, so that only
            the partner differs; "bare": one token of beginning, as the paper's code does, for base models (a chat
            model is surprised by text without a turn, which makes every ratio too small).
        max_length: tokens that fit; None takes the model's own context.
        template: what the chat template is to know, a run's `chat_template_kwargs`.

    Source: IFD 2308.12032, in the form of Selective Reflection-Tuning 2402.10110. `ifd_loss` is Cherry_LLM's form, but
    for its bare text after "### Response:" where ours has `direct`.
    """
    if not pairs:
        return []
    context = getattr(model.config, "max_position_embeddings", None) or 10**9
    room = context if max_length is None else min(max_length, context)

    questions = [chat[-1]["content"] for chat, _ in pairs]
    replies = [reply for _, reply in pairs]
    given = [chat for chat, _ in pairs]
    alone = [[*chat[:-1], {**chat[-1], "content": ""}] for chat in given]
    guess = [[{"role": "user", "content": GUESS.format(reply=reply)}] for reply in replies]
    blank = [[{"role": "user", "content": GUESS.format(reply="")}]] * len(pairs)
    reply_ids, question_ids = (_ids(tokenizer, texts) for texts in (replies, questions))
    start = [[_first(tokenizer)]] * len(pairs)
    contexts = [
        encode(tokenizer, given, template),
        start if direct == "bare" else encode(tokenizer, alone, template),
        encode(tokenizer, guess, template),
        start if direct == "bare" else encode(tokenizer, blank, template),
    ]
    parts = list(zip(contexts, (reply_ids, reply_ids, question_ids, question_ids), strict=True))

    fits = [all(len(c[i]) + len(a[i]) <= room and a[i] for c, a in parts) for i in range(len(pairs))]
    rows = [(tuple(c[i]), tuple(a[i])) for c, a in parts for i in range(len(pairs)) if fits[i]]
    unique = list(dict.fromkeys(rows))  # rewrites share texts
    nll = dict(zip(unique, answer_nll(model, *_columns(unique), batch_tokens).tolist(), strict=True))

    def score(i: int) -> PairScore:
        y_x, y, x_y, x = (nll[tuple(c[i]), tuple(a[i])] for c, a in parts)
        return PairScore(float(np.exp(y_x - y)), float(np.exp(x_y - x)), y_x / y if y else None)

    return [score(i) if fits[i] else None for i in range(len(pairs))]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    return tokenizer(
        texts, add_special_tokens=False, verbose=False
    ).input_ids  # what is too long is counted, not warned of


def _columns(rows: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[list, list]:
    return [c for c, _ in rows], [a for _, a in rows]


def _first(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token of beginning, or what stands between texts where there is none."""
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
