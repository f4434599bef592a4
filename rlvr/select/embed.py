"""What a model makes of a text: its last hidden states, averaged over the text's own tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel

from rlvr.select.nll import BATCH_TOKENS, batches


@torch.inference_mode()
def pooled_embeddings(
    model: PreTrainedModel | PeftModel, texts: Sequence[Sequence[int]], batch_tokens: int = BATCH_TOKENS
) -> NDArray[np.float32]:
    """Return the mean last hidden state of each text of token ids, shape (R, hidden), float32; texts are not empty."""
    body = model.get_base_model() if isinstance(model, PeftModel) else model
    was_training = model.training
    model.eval()
    try:
        pooled_RC = torch.zeros(len(texts), body.config.get_text_config().hidden_size)
        for rows in batches([len(t) for t in texts], batch_tokens):
            ids = [torch.tensor(texts[i]) for i in rows]
            ids_BL = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(model.device)
            lengths_B1 = torch.tensor([[len(t)] for t in ids], device=model.device)
            mask_BL = (torch.arange(ids_BL.shape[1], device=model.device) < lengths_B1).long()
            hidden = body.base_model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).last_hidden_state
            pooled_RC[rows] = ((hidden.float() * mask_BL[..., None]).sum(1) / lengths_B1).cpu()
        return pooled_RC.numpy()
    finally:
        model.train(was_training)
