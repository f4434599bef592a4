"""Steer a large model with what tuning did to a small one, its weights untouched (proxy-tuning, 2401.08565).

    logits = base + alpha (tuned small - untuned small)        then temperature, top-k, top-p

A token costs a forward pass of each of the three. `load_policy` gives the in-process engine such a model, so that
whatever can be measured of a model can be measured of it; `ProxyTuning` does the same inside transformers' `generate`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.errors import ModelError, SpecError
from rlvr.models.chat import encode
from rlvr.models.load import load_model, model_source
from rlvr.models.sampling.general import PaddedReader
from rlvr.models.sampling.steered import Steered, check_alpha, steer


class ProxyTuning(LogitsProcessor):
    """Add alpha (expert - antiexpert) to the scores of `generate`, before its temperature, top-k and top-p.

    Use: `model.generate(..., logits_processor=LogitsProcessorList([ProxyTuning(expert, antiexpert, pad_id=0)]))`.
    Its two caches follow the ids: one token is read where they continue what was read, else everything anew (a new
    prompt, or beams that changed places). Check the vocabularies first, with `check_same_vocabulary`.

    Args:
        expert: the tuned small model.
        antiexpert: the same model before it was tuned.
        alpha: how far to go: 0 is the base, 1 the paper's value.
        pad_id: the token that fills the left of short prompts; None: nothing is padded.
    """

    def __init__(
        self, expert: PreTrainedModel, antiexpert: PreTrainedModel, alpha: float = 1.0, pad_id: int | None = None
    ):
        check_alpha(alpha)
        self.expert, self.antiexpert, self.alpha, self.pad_id = expert, antiexpert, alpha, pad_id
        self._read: Tensor | None = None
        self._readers: list[PaddedReader] = []

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the steered log-probabilities, (B, V); ids that the small models do not know get -inf.

        Normalised, because beam search adds them up; greedy decoding and sampling see no difference.
        """
        if self._read is not None and torch.equal(input_ids[:, :-1], self._read):
            expert, antiexpert = (reader.step(input_ids[:, -1]) for reader in self._readers)
        else:
            prompts = [self._unpadded(row) for row in input_ids.tolist()]
            self._readers = [PaddedReader(m, prompts, self.pad_id or 0) for m in (self.expert, self.antiexpert)]
            slots_B1 = torch.arange(len(prompts), device=input_ids.device)[:, None]
            expert, antiexpert = (reader.prefill(range(len(prompts)), slots_B1) for reader in self._readers)
        self._read = input_ids
        steered = steer(scores, expert, antiexpert, self.alpha).log_softmax(-1)
        return torch.nn.functional.pad(steered, (0, scores.shape[-1] - steered.shape[-1]), value=-math.inf)

    def _unpadded(self, row: Sequence[int]) -> list[int]:
        start = next((i for i, token in enumerate(row) if token != self.pad_id), len(row) - 1)
        return list(row[start:])


def check_same_vocabulary(base: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase, name: str = "other") -> None:
    """Raise ModelError unless every token of the base has the same id in the vocabulary of model `name`.

    Tokens that the other has beyond the base's are no objection: their logits are cut off (as in the paper's code).

    >>> from rlvr.models.load import tiny_tokenizer
    >>> check_same_vocabulary(tiny_tokenizer(), tiny_tokenizer())
    """
    mine, theirs = base.get_vocab(), other.get_vocab()
    off = sorted((i, token) for token, i in mine.items() if theirs.get(token) != i)
    if off:
        i, token = off[0]
        place = f"has it at {theirs[token]}" if token in theirs else "does not have it"
        raise ModelError(
            f"Proxy-tuning adds logits token by token, so the three models need one vocabulary, and {name!r} has "
            f"another than the base: the base has {token!r} at id {i}, {name!r} {place} ({len(off)} of {len(mine)} "
            "tokens differ). Choose an expert and an anti-expert of the base's own family."
        )


def load_policy(
    base: str,
    expert: str | None = None,
    antiexpert: str | None = None,
    alphas: Sequence[float] = (1.0,),
    expert_chat: bool = False,
    device: torch.device | str = "cpu",
    options: Mapping[str, Any] | None = None,
) -> tuple[PreTrainedModel | Steered, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer; with an expert and an antiexpert, steered at the first of `alphas`.

    Args:
        base, expert, antiexpert: model specs (see `load_model`); a base without a chat template takes the expert's.
        alphas: all that will be used, so that a bad one is refused before anything is loaded.
        device: where all three go.
        options: how the base is loaded, beside it (see `load_model`).
        expert_chat: the expert reads each prompt as a user's chat message, the other two as it is (as in the paper).

    Raises:
        SpecError: only one of expert and antiexpert is given, no alpha, or one that is not finite.
        ModelError: a model that cannot be loaded, or another vocabulary than the base's.
    """
    if expert is None or antiexpert is None:
        if expert != antiexpert:
            missing, given = ("expert", "antiexpert") if expert is None else ("antiexpert", "expert")
            raise SpecError(
                f"--{given} needs --{missing} too: what is added to the base is the tuned small model (expert) minus "
                "the same model untuned (antiexpert)."
            )
        return load_model(base, device=device, **(options or {}))
    if not alphas:
        raise SpecError("alpha needs at least one value (0 is the base, 1 the paper's value).")
    for alpha in alphas:
        check_alpha(alpha)
    specs = (base, expert, antiexpert)
    for spec in specs:
        model_source(spec)
    loaded = {
        spec: load_model(spec, device=device, needs_chat=False, **((options or {}) if spec == base else {}))
        for spec in dict.fromkeys(specs)
    }
    (model, tokenizer), (tuned, tuned_tokenizer), (untuned, untuned_tokenizer) = (loaded[spec] for spec in specs)
    check_same_vocabulary(tokenizer, tuned_tokenizer, expert)
    check_same_vocabulary(tokenizer, untuned_tokenizer, antiexpert)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = tuned_tokenizer.chat_template
    if tokenizer.chat_template is None:
        raise ModelError(
            f"Neither {base!r} nor {expert!r} has a chat template, and rlvr's prompts are chat messages. Give one: "
            "--chat_template chatml, or a file with a Jinja template."
        )

    def chat(prompt: Sequence[int]) -> list[int]:
        return encode(tuned_tokenizer, [[{"role": "user", "content": tokenizer.decode(prompt)}]])[0]

    return Steered(model, tuned, untuned, alphas[0], chat if expert_chat else None), tokenizer
