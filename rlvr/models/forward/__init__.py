"""The training pass made cheaper: prompts once, no padding, logits in chunks."""
