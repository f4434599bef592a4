"""MMLU-Pro (2406.01574): questions of fourteen subjects, each with up to ten options.

mmlu_pro                          TIGER-Lab/MMLU-Pro from the hub
mmlu_pro(path='file.parquet')     a local file with its columns
"""

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]


def load(
    split: str, size: int | None, seed: int, path: str = "TIGER-Lab/MMLU-Pro", name: str = "", **parts: str | float
) -> list[Problem]:
    """Return up to `size` problems of `split`, shuffled by `seed`; `parts` choose the splits (see rlvr.load_rows)."""
    return load_rows(
        split,
        size,
        seed,
        path,
        name,
        prompt="question",
        answer="answer",
        options="options",
        id="question_id",
        task="category",
        verifier="choice",
        **parts,
    )
