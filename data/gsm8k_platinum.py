"""GSM8K-Platinum (2502.03461): the test split of GSM8K with its wrong and unclear rows mended.

gsm8k_platinum                          madrylab/gsm8k-platinum from the hub
gsm8k_platinum(path='file.parquet')     a local file with its columns
"""

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]


def load(
    split: str,
    size: int | None,
    seed: int,
    path: str = "madrylab/gsm8k-platinum",
    name: str = "main",
    verifier: str = "math",
    **parts: str | float,
) -> list[Problem]:
    """Return up to `size` problems of `split`, shuffled by `seed`; `parts` choose the splits (see rlvr.load_rows).

    `verifier`: "math" takes a form of the number and nothing else, "published" the last number of the answer.
    """
    return load_rows(
        split,
        size,
        seed,
        path,
        name,
        prompt="question",
        answer="answer",
        answer_after="####",
        verifier=verifier,
        **parts,
    )
