"""Give a tokenizer the chat template that is asked for, and learn from it what a model must know of its turns.

Which token ends a turn is not what the tokenizer calls its end: Qwen2.5's base ends a text with <|endoftext|>, and its
template ends every turn with <|im_end|>. Whether there is a system's turn differs too: Gemma-2's template raises an
error at one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlvr.core.console import warn_once
from rlvr.core.errors import ModelError, SpecError

CHATML = "chatml"
_CHATML = (
    "{{ BOS }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}END\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_FOLD = (
    "{%- if messages and messages[0]['role'] == 'system' -%}"
    "{%- set after = messages[1:] -%}{%- set said = messages[0]['content'] -%}"
    "{%- if after and after[0]['role'] == 'user' and after[0]['content'] is string -%}"
    "{%- set messages = [{'role': 'user', 'content': said + '\\n\\n' + after[0]['content']}] + after[1:] -%}"
    "{%- else -%}{%- set messages = [{'role': 'user', 'content': said}] + after -%}{%- endif -%}{%- endif -%}"
)
_FAILS = (TemplateError, TypeError, ValueError, KeyError, AttributeError)  # what a template may do with a chat
_RULES, _QUESTION, _REPLY = "rules of the house", "question of the day", "reply of the day"


def check_chat_template(name: str | None) -> None:
    """Raise SpecError where a setting `chat_template` names neither `chatml` nor a text file; None passes."""
    if name is not None and name != CHATML:
        _file_text(name)


def _file_text(name: str) -> str:
    try:
        text = Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"chat_template must be {CHATML!r} or a text file with a Jinja template, got {name!r}: {error}"
        ) from None
    if not text.strip():
        raise SpecError(f"The chat template {name!r} is an empty file.")
    return text


def with_chat_template(
    tokenizer: PreTrainedTokenizerBase, spec: str, name: str | None = None, needs_chat: bool = True
) -> PreTrainedTokenizerBase:
    """Return the tokenizer of model `spec` with the chat template `name`, or its own, and a place for system messages.

    Args:
        name: `chatml`, a file with a Jinja template, or None: the template that the tokenizer has.
        needs_chat: False takes a tokenizer without a template too.

    The tokenizer is changed, so that what is trained is saved with this template. A system message that the template
    refuses, or leaves out, goes before the user's first; that is said once. Raises ModelError where there is no
    template, or one that cannot be rendered; SpecError for a bad name.
    """
    if name is not None:
        tokenizer.chat_template = _chatml(tokenizer, spec) if name == CHATML else _file_text(name)
    if tokenizer.chat_template is None:
        if needs_chat:
            raise ModelError(
                f"The tokenizer of {spec!r} has no chat template, and rlvr's prompts are chat messages. Give one: "
                "--chat_template chatml, or a file with a Jinja template."
            )
        return tokenizer
    if name is not None:
        try:
            _render(tokenizer, "user", "assistant")
        except _FAILS as error:
            raise ModelError(f"The chat template {name!r} cannot be rendered with {spec!r}: {error}") from error
    if isinstance(tokenizer.chat_template, str) and _keeps_system(tokenizer) is False:
        whole = tokenizer.chat_template
        tokenizer.chat_template = _FOLD + whole
        if _keeps_system(tokenizer):
            warn_once(f"the chat template of {spec} takes no system message: it is put before the user's first one")
        else:
            tokenizer.chat_template = whole
    return tokenizer


def _chatml(tokenizer: PreTrainedTokenizerBase, spec: str) -> str:
    """Return ChatML for a tokenizer; where it does not know <|im_end|>, its own end of text ends each turn."""
    end = "<|im_end|>" if "<|im_end|>" in tokenizer.get_vocab() else "{{ eos_token }}"
    if end != "<|im_end|>" and tokenizer.eos_token is None:
        raise ModelError(f"The tokenizer of {spec!r} knows neither <|im_end|> nor an end token, so no turn could end.")
    begins = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    return _CHATML.replace("END", end).replace("{{ BOS }}", "{{ bos_token }}" if begins else "")


def _keeps_system(tokenizer: PreTrainedTokenizerBase) -> bool | None:
    """Return whether a system message is in the prompt; None where not even a user's message can be rendered."""
    try:
        _render(tokenizer, "user")
    except _FAILS:
        return None
    try:
        return _RULES in _render(tokenizer, "system", "user")
    except _FAILS:
        return False


def _render(tokenizer: PreTrainedTokenizerBase, *roles: str, **template: Any) -> str:
    texts = {"system": _RULES, "user": _QUESTION, "assistant": _REPLY}
    chat = [{"role": role, "content": texts[role]} for role in roles]
    return str(tokenizer.apply_chat_template(chat, tokenize=False, **template))


def end_of_turn(tokenizer: PreTrainedTokenizerBase, template: Mapping[str, Any] | None = None) -> int | None:
    """Return the id of the special token that the chat template writes after the assistant's words, None if no such.

    Where nothing ends the last turn it is the token that begins the user's next one (GLM-4 stops at <|user|>).
    `template` is what the template reads beside the messages.

    >>> from rlvr.models.load import tiny_tokenizer
    >>> tokenizer = tiny_tokenizer()
    >>> tokenizer.decode(end_of_turn(tokenizer))
    '<|im_end|>'
    """
    if not tokenizer.chat_template:
        return None
    added = {str(token): i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special = added | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    for roles in (("user", "assistant"), ("user", "assistant", "user")):
        try:
            _, replied, after = _render(tokenizer, *roles, **(template or {})).rpartition(_REPLY)
        except _FAILS:
            return None
        if not replied:
            return None
        if after := after.lstrip():
            begun = [token for token in special if after.startswith(token)]
            return special[max(begun, key=len)] if begun else None
    return None


def declare_end_of_turn(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Add the template's end of turn to the ends that a model declares: TRL, servers and what is saved read them."""
    end, declared = end_of_turn(tokenizer), model.generation_config
    if end is None or declared is None:
        return
    ends = declared.eos_token_id if isinstance(declared.eos_token_id, list) else [declared.eos_token_id]
    if end not in ends:
        declared.eos_token_id = [*(i for i in ends if i is not None), end]
