"""Greedy completions by transformers' own generate: what the engine must give."""

import torch

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14], [15, 16]]


def reference(model, prompts, max_tokens, eos):
    """Greedy ids from transformers.generate, cut after the first end token."""
    rows = []
    for prompt in prompts:  # one by one, so that no padding is involved
        out = model.generate(
            torch.tensor([prompt], device=model.device), attention_mask=torch.ones(1, len(prompt), device=model.device),
            max_new_tokens=max_tokens,
            do_sample=False, eos_token_id=eos, pad_token_id=0,
        )[0, len(prompt) :].tolist()  # fmt: skip
        rows.append(out)
    return rows
