"""HotpotQA (1809.09600) without its paragraphs: what the model itself knows.

The answers of the published test split are secret: `test` is the published validation split, and a tenth of the
training rows (by a hash of the question) are `validation`.

    hotpotqa                          hotpotqa/hotpot_qa from the hub
    hotpotqa(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(
    load_rows,
    path="hotpotqa/hotpot_qa",
    name="distractor",
    prompt="question",
    answer="answer",
    id="id",
    verifier="qa",
    test="validation",
    validation=0.1,
)
