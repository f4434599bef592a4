"""Read the expectation of a stated confidence from the logits: what the model would say on average, without noise.

At temperature 1 a stated confidence q is a draw, with a variance of its own beside what the model believes. Its
expectation given the completion so far is computed by following every way of writing a number that has some chance:

    E[q] = sum_v P(v) v / sum_v P(v),    P(v) = P(tokens of v, then </confidence> | prompt, completion up to the tag)

The tree grows token by token, so any tokenizer will do ("0.7" may be one token or three), and any number of digits.
Numbers are read by the parser, so what it does not read (`90%`, `1.2`) has no part in it, as it has none in q.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.parse import parse_confidence
from rlvr.measure.exact import BATCH_TOKENS
from rlvr.models.forward.token_rows import batches, padded
from rlvr.models.load import evaluating

_OPEN, _CLOSE = "<confidence>", "</confidence>"
LEAST = 1e-3  # a way of writing whose chance is less is not followed
LONGEST = 12  # tokens of a number and its closing tag


@dataclass(frozen=True)
class Branch:
    """Hold one beginning of a confidence: which context it follows, its tokens and text, and its probability."""

    context: int
    ids: tuple[int, ...]
    text: str
    chance: float


def expected_confidences(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    ends: Collection[int],
    least: float = LEAST,
    longest: int = LONGEST,
) -> list[float | None]:
    """Return E[q] in [0, 1] of each completion (token ids), at temperature 1; None where no number is that likely.

    A completion is read up to its last `<confidence>`; one that has none gives None. Completions with equal tokens up
    to there are computed once. `ends` are the tokens that end a completion. What is followed has a chance of at least
    `least` and at most `longest` tokens, the closing tag's included: E[q] is exact to about the mass of what is not.
    """
    contexts: dict[tuple[int, ...], int] = {}
    where: list[int | None] = []
    for prompt, completion in zip(prompts, completions, strict=True):
        end = after_tag(tokenizer, completion)
        context = None if end is None else (*prompt, *completion[:end])
        where.append(None if context is None else contexts.setdefault(context, len(contexts)))
    found = _expectations(model, tokenizer, list(contexts), ends, least, longest)
    return [None if i is None else found[i] for i in where]


def after_tag(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> int | None:
    """Return how many tokens reach to the end of the last <confidence>; None without one that a token ends."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    if _OPEN not in text:
        return None
    wanted = text.rindex(_OPEN) + len(_OPEN)
    low, high = 0, len(ids)
    while low < high:  # the first place where the text is long enough
        middle = (low + high) // 2
        if len(tokenizer.decode(ids[:middle], skip_special_tokens=True)) < wanted:
            low = middle + 1
        else:
            high = middle
    return low if tokenizer.decode(ids[:low], skip_special_tokens=True) == text[:wanted] else None


@torch.inference_mode()
def _expectations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[tuple[int, ...]],
    ends: Collection[int],
    least: float,
    longest: int,
) -> list[float | None]:
    mass, total = [0.0] * len(contexts), [0.0] * len(contexts)
    branches = [Branch(i, (), "", 1.0) for i in range(len(contexts))]
    with evaluating(model):
        for _ in range(longest):
            grown = []
            for branch in _grow(model, tokenizer, contexts, branches, least):
                if branch.ids[-1] in ends:
                    continue
                if _CLOSE in branch.text:
                    value = parse_confidence(branch.text.split(_CLOSE)[0])
                    mass[branch.context] += branch.chance if value is not None else 0.0
                    total[branch.context] += branch.chance * (value or 0.0)
                elif _begins_number(branch.text):
                    grown.append(branch)
            branches = grown
    return [t / m if m > 0 else None for t, m in zip(total, mass, strict=True)]


def _grow(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[tuple[int, ...]],
    branches: Sequence[Branch],
    least: float,
) -> list[Branch]:
    """Return every continuation by one token whose chance is at least `least`."""
    grown = []
    rows = [(*contexts[branch.context], *branch.ids) for branch in branches]
    for group in batches(list(map(len, rows)), BATCH_TOKENS):
        ids_BL, mask_BL = padded([rows[i] for i in group], model.device)
        logits = model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
        last = torch.tensor([len(rows[i]) - 1 for i in group], device=logits.device)
        chances_BV = logits[torch.arange(len(group), device=logits.device), last].float().softmax(-1).cpu()
        for i, chances_V in zip(group, chances_BV, strict=True):
            before = branches[i]
            for token in (chances_V * before.chance >= least).nonzero()[:, 0].tolist():
                ids = (*before.ids, token)
                text = tokenizer.decode(ids, skip_special_tokens=True)
                grown.append(Branch(before.context, ids, text, before.chance * float(chances_V[token])))
    return grown


def _begins_number(text: str) -> bool:
    """Return whether a text may go on to be a number and its closing tag.

    >>> [_begins_number(text) for text in ("", "0", "0.", "0.7<", "0.7</conf", "90%", "maybe")]
    [True, True, True, True, True, False, False]
    """
    number, tag = text, ""
    if "<" in text:
        number, tag = text.split("<", 1)[0], text[text.index("<") :]
    plain = number.strip()
    return _CLOSE.startswith(tag) and (plain in ("", ".") or parse_confidence(plain) is not None)
