"""AMC 2023: the forty problems whose answer is a number.

amc                          math-ai/amc23 from the hub
amc(path='file.parquet')     a local file with its columns
"""

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]


def load(
    split: str, size: int | None, seed: int, path: str = "math-ai/amc23", name: str = "", **parts: str | float
) -> list[Problem]:
    """Return up to `size` problems of `split`, shuffled by `seed`; `parts` choose the splits (see rlvr.load_rows)."""
    return load_rows(split, size, seed, path, name, prompt="question", answer="answer", verifier="math", **parts)
