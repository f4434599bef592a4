"""A tiny random Qwen3 with the chat template of a real model (TRL ships copies), and rows like those of MATH."""

import json
from pathlib import Path

import torch
import trl
from transformers import Qwen3Config, Qwen3ForCausalLM

from rlvr.models.load import tiny_tokenizer

TEMPLATES = Path(trl.__file__).parent / "chat_templates"


def template(name: str) -> str:
    """Return a chat template, as the model of that name has it."""
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def save_qwen_like(folder: Path, name: str = "qwen3") -> str:
    """Write model and tokenizer into a folder and return its path as a model spec."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template(name)
    tokenizer.model_max_length = 2048
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=2048, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def write_math_like(path: Path, count: int) -> None:
    """Write problems whose worked solutions end in a box, as MATH's do, some answers fractions."""
    rows = []
    for i in range(count):
        a, b = 2 + i % 9, 3 + i // 9
        answer = str(a * b) if i % 3 else f"\\frac{{{a}}}{{{10 * b + 1}}}"
        asked = f"{a} \\cdot {b}" if i % 3 else f"{a} \\div {10 * b + 1}"
        solution = f"We compute ${asked}$, so the answer is $\\boxed{{{answer}}}$."
        rows.append({"problem": f"What is ${asked}$?", "level": "Level 1", "solution": solution, "answer": answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
