"""Compute the negative log-likelihood of an answer after a context, for many pairs at once."""

from collections.abc import Sequence

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.models.forward.head import can_score, score
from rlvr.models.forward.token_rows import batches, padded
from rlvr.models.load import evaluating, without_adapters

BATCH_TOKENS = 4096  # of one forward, padding included


@torch.inference_mode()
def answer_nll(
    model: PreTrainedModel | PeftModel,
    contexts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    batch_tokens: int = BATCH_TOKENS,
) -> Tensor:
    """Return the mean negative log-likelihood (nats per token, >= 0) of each answer given its context, shape (R,).

    nll_i = -1/T sum_t log p(answer_t | context, answer_<t). Only answer tokens are scored. Rows of similar length
    share a forward; padding stands on the right, where causal attention cannot see it. Contexts and answers must
    hold at least one token. The model's mode and random states stay as they were.
    """
    body, nll_R = without_adapters(model), torch.zeros(len(contexts))
    with evaluating(model):
        for rows in batches([len(c) + len(a) for c, a in zip(contexts, answers, strict=True)], batch_tokens):
            nll_R[rows] = _forward(body, [contexts[i] for i in rows], [answers[i] for i in rows]).cpu()
    return nll_R


def _forward(model: PreTrainedModel, contexts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Tensor:
    """Return the mean negative log-likelihood of each answer of one batch, in float32, shape (B,)."""
    ids_BL, mask_BL = padded([[*c, *a] for c, a in zip(contexts, answers, strict=True)], model.device)
    is_answer_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for i, (context, answer) in enumerate(zip(contexts, answers, strict=True)):
        is_answer_BL[i, len(context) : len(context) + len(answer)] = True
    where, targets_N = is_answer_BL[:, 1:], ids_BL[:, 1:][is_answer_BL[:, 1:]]
    if can_score(model.config):
        hidden = model.base_model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).last_hidden_state
        head = model.get_output_embeddings()
        logp_N = score(hidden[:, :-1][where], head.weight, getattr(head, "bias", None), targets_N, 1.0).log_probs
    else:  # a soft cap or a scale on the logits: the model's own head
        logits = model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
        logp_N = logits[:, :-1][where].float().log_softmax(-1).gather(1, targets_N[:, None])[:, 0]
    total_B = torch.zeros(len(ids_BL), device=model.device).index_add_(0, where.nonzero()[:, 0], -logp_N)
    return total_B / where.sum(1)
