"""Models for the tests of measuring: one whose every completion can be listed, and one that has learned a few lines."""

import copy

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlvr.models.chat import encode


def listable(characters: str, tags: tuple[str, ...], seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Return a random model over these characters, these tags, padding and an end: so few tokens that all can be listed."""
    vocab = {token: i for i, token in enumerate(["<pad>", "<end>", *characters])}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    core.add_tokens([AddedToken(tag, normalized=False) for tag in tags])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<end>",
        chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
        clean_up_tokenization_spaces=False,
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), tokenizer


def taught(model, tokenizer, lines: list[tuple[str, str]], steps: int = 60):
    """Return a copy of a model after supervised steps on (prompt, completion) lines, all of them in every step."""
    model = copy.deepcopy(model).train()
    prompts = encode(tokenizer, [[{"role": "user", "content": prompt}] for prompt, _ in lines])
    texts = tokenizer([text for _, text in lines], add_special_tokens=False)["input_ids"]
    rows = [(prompt, [*text, tokenizer.eos_token_id]) for prompt, text in zip(prompts, texts, strict=True)]
    width = max(len(prompt) + len(text) for prompt, text in rows)
    ids = torch.tensor([[*p, *t, *[0] * (width - len(p) - len(t))] for p, t in rows])
    labels = torch.tensor([[*[-100] * len(p), *t, *[-100] * (width - len(p) - len(t))] for p, t in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()
