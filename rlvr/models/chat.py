"""Turn chat messages into the token ids that a model reads, and check that they fit its context."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlvr.core.errors import DataError, SpecError


def encode(
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[list[dict[str, str]]],
    template: Mapping[str, Any] | None = None,
) -> list[list[int]]:
    """Return the token ids of each chat, ending where the assistant is to speak.

    `template` is what the chat template is to know beside the messages, e.g. {"enable_thinking": False}: a run's
    `chat_template_kwargs`, so that whatever samples reads the prompts that training reads.
    """
    fixed = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
    if taken := sorted(fixed.keys() & (template or {}).keys()):
        raise SpecError(f"chat_template_kwargs sets {taken}, which rlvr itself decides. Leave them out.")
    return tokenizer.apply_chat_template(list(chats), **fixed, **(template or {}))["input_ids"]


def prompt_end(tokenizer: PreTrainedTokenizerBase, template: Mapping[str, Any] | None = None) -> str:
    """Return what the chat template writes between a chat's last message and the assistant's first word.

    Some templates open the model's thinking there ("<think>"), and whatever reads a completion must know it. "" where
    there is no chat template.
    """
    if not tokenizer.chat_template:
        return ""
    last = "What is the question?"
    chat = [{"role": "user", "content": last}]
    text = str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False, **(template or {})))
    return text.rpartition(last)[2]


def check_lengths(prompts: Sequence[Sequence[int]], ids: Sequence[str], room: int, context: int | None) -> None:
    """Raise DataError naming the first prompt that leaves fewer than `room` tokens of the model's context."""
    for prompt, name in zip(prompts, ids, strict=True):
        if context and len(prompt) + room > context:
            raise DataError(
                f"Problem {name!r}: its prompt has {len(prompt)} tokens, and with max_completion_length={room} "
                f"that is over the model's context of {context}. Shorten the prompt or the completion."
            )
