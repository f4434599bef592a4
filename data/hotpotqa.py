"""HotpotQA (1809.09600) without its paragraphs: what the model itself knows.

The answers of the published test split are secret: `test` is the published validation split, and a tenth of the
training rows (by a hash of the question) are `validation`.

    hotpotqa                          hotpotqa/hotpot_qa from the hub
    hotpotqa(path='file.parquet')     a local file with its columns
"""

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]


def load(
    split: str,
    size: int | None,
    seed: int,
    path: str = "hotpotqa/hotpot_qa",
    name: str = "distractor",
    **parts: str | float,
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
        id="id",
        verifier="qa",
        **{"test": "validation", "validation": 0.1} | parts,
    )
