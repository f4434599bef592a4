"""Embed texts by the model: its last hidden states, averaged over the text's own tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel

from rlvr.models.forward.token_rows import batches, padded
from rlvr.models.load import evaluating, without_adapters
from rlvr.select.nll import BATCH_TOKENS


@torch.inference_mode()
def pooled_embeddings(
    model: PreTrainedModel | PeftModel, texts: Sequence[Sequence[int]], batch_tokens: int = BATCH_TOKENS
) -> NDArray[np.float32]:
    """Return the mean last hidden state of each text of token ids, shape (R, hidden), float32; texts are not empty."""
    body = without_adapters(model)
    pooled_RC = torch.zeros(len(texts), body.config.get_text_config().hidden_size)
    with evaluating(model):
        for rows in batches([len(t) for t in texts], batch_tokens):
            ids_BL, mask_BL = padded([texts[i] for i in rows], model.device)
            hidden = body.base_model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).last_hidden_state
            total_BC = (hidden.float() * mask_BL[..., None]).sum(1)
            pooled_RC[rows] = (total_BC / mask_BL.sum(1, keepdim=True)).cpu()
    return pooled_RC.numpy()
