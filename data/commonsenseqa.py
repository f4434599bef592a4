"""CommonsenseQA (1811.00937): questions with five options.

The answers of the published test split are secret: `test` is the published validation split, and a tenth of the
training rows (by a hash of the question) are `validation`.

    commonsenseqa                          tau/commonsense_qa from the hub
    commonsenseqa(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(
    load_rows,
    path="tau/commonsense_qa",
    prompt="question",
    answer="answerKey",
    options="choices",
    id="id",
    verifier="choice",
    test="validation",
    validation=0.1,
)
