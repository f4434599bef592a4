"""SimpleQA (2411.04368): short questions of fact, measured by the same words where its authors ask a model.

simpleqa                          basicv8vc/SimpleQA from the hub
simpleqa(path='file.parquet')     a local file with its columns
"""

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]


def load(
    split: str, size: int | None, seed: int, path: str = "basicv8vc/SimpleQA", name: str = "", **parts: str | float
) -> list[Problem]:
    """Return up to `size` problems of `split`, shuffled by `seed`; `parts` choose the splits (see rlvr.load_rows)."""
    return load_rows(split, size, seed, path, name, prompt="problem", answer="answer", verifier="qa", **parts)
