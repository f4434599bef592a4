"""CommonsenseQA (1811.00937): questions with five options.

The answers of the published test split are secret: `test` is the published validation split, and a tenth of the
training rows (by a hash of the question) are `validation`.

    commonsenseqa                          tau/commonsense_qa from the hub
    commonsenseqa(path='file.parquet')     a local file with its columns
"""

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]


def load(
    split: str, size: int | None, seed: int, path: str = "tau/commonsense_qa", name: str = "", **parts: str | float
) -> list[Problem]:
    """Return up to `size` problems of `split`, shuffled by `seed`; `parts` choose the splits (see rlvr.load_rows)."""
    return load_rows(
        split,
        size,
        seed,
        path,
        name,
        prompt="question",
        answer="answerKey",
        options="choices",
        id="id",
        verifier="choice",
        **{"test": "validation", "validation": 0.1} | parts,
    )
