"""Compute pass@1 of every problem instead of sampling it, where one text alone is right: the text's probability.

    p = prod_t P(token t of "<answer>gold</answer>" | prompt, tokens before),    pass@k = 1 - (1 - p)^k

One teacher-forced pass over each problem gives p without sampling noise, at a temperature T of logits / T. It counts
the completions that begin with the right text as the tokenizer writes it, whatever follows (a confidence, the end).
Right ones that begin otherwise (white space or an earlier attempt before the answer) are not in p; a model that writes
the requested form has next to none.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import ModelError, SpecError
from rlvr.core.parse import render
from rlvr.core.records import Problem
from rlvr.measure.sample import Policy
from rlvr.models.chat import check_lengths, encode
from rlvr.models.forward.token_rows import batches, padded
from rlvr.models.load import evaluating
from rlvr.problems.prompts import messages
from rlvr.problems.sets import ProblemSet

BATCH_TOKENS = 1024  # of one forward, padding included


def check_exact(data: ProblemSet, answers: AnswerFormat, temperature: float, top_p: float = 1, top_k: int = 0) -> None:
    """Raise SpecError, saying why, unless one text alone is right and its probability is that of a sample."""
    if not data.unique:
        raise SpecError(
            f"exact: {data.spec!r} may have several right completions (its file does not set UNIQUE = True), so the "
            "probability of one is not pass@1. Sample instead: leave exact out."
        )
    if answers.place is not None or answers.thinking != "none":
        raise SpecError(
            f"exact: with {answers} anything may stand before the answer, in <think> or around it, so the right "
            "completion is not unique. Ask for the answer alone (--tags answer), or sample: leave exact out."
        )
    if not temperature or top_p < 1 or top_k:
        raise SpecError(
            f"exact: a probability needs a temperature above 0 and no cut, found temperature {temperature:g}, top_p "
            f"{top_p:g} and top_k {top_k}. Leave these out."
        )


def exact_rates(
    policy: Policy, problems: Sequence[Problem], data: ProblemSet, answers: AnswerFormat, temperature: float = 1.0
) -> list[float]:
    """Return the probability that a completion of each problem begins with its one right answer, in [0, 1].

    The model's own precision computes it. Raises ModelError for a steered model, for probabilities that are not
    finite, and where the tokenizer would join the answer's end with the next tag; DataError for too long a prompt.
    """
    if not problems:  # a process of a launch that has no share
        return []
    tokenizer = policy.tokenizer
    prompts = encode(tokenizer, [messages(p, answers, policy.system_prompt) for p in problems], policy.template)
    texts = [render("", data.gold(problem), tags=("answer",)) for problem in problems]
    rights = tokenizer(texts, add_special_tokens=False)["input_ids"]
    after = "".join(f"<{tag}>" for tag in answers.tags[answers.tags.index("answer") + 1 :][:1])
    joined = tokenizer([text + after for text in texts], add_special_tokens=False)["input_ids"]
    if any(ids[: len(right)] != right for ids, right in zip(joined, rights, strict=True)):
        raise ModelError(
            f"exact: this tokenizer joins the end of the answer with {after}, so its text has no one probability. "
            "Sample instead, or ask for the answer alone (--tags answer)."
        )
    check_lengths(prompts, [p.id for p in problems], max(map(len, rights)), policy.engine.context)
    logps = continuation_logps(policy.model, prompts, rights, temperature)
    if not torch.isfinite(logps).all():
        raise ModelError(
            "The model gives probabilities that are not finite, so nothing was measured: its weights are broken "
            "(training diverged). Try an earlier checkpoint."
        )
    return logps.exp().clamp(max=1.0).tolist()


@torch.inference_mode()
def continuation_logps(
    model: PreTrainedModel,
    contexts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    temperature: float = 1.0,
) -> torch.Tensor:
    """Return log P(continuation | context) in nats for each row, summed over its tokens, float64, shape (R,).

    Rows of similar length share a forward; padding stands on the right, where causal attention cannot see it.
    """
    logps_R = torch.zeros(len(contexts), dtype=torch.float64)
    lengths = [len(c) + len(a) for c, a in zip(contexts, continuations, strict=True)]
    with evaluating(model):
        for rows in batches(lengths, BATCH_TOKENS):
            ids_BL, mask_BL = padded([[*contexts[i], *continuations[i]] for i in rows], model.device)
            logits = model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits[:, :-1]
            for i, ids_L, logits_LV in zip(rows, ids_BL, logits, strict=True):
                part = slice(len(contexts[i]) - 1, lengths[i] - 1)
                picked = (logits_LV[part].float() / temperature).log_softmax(-1)
                logps_R[i] = picked.gather(1, ids_L[1:][part, None]).double().sum().cpu()
    return logps_R
