"""GSM8K-Platinum (2502.03461): the test split of GSM8K with its wrong and unclear rows mended.

gsm8k_platinum                          madrylab/gsm8k-platinum from the hub
gsm8k_platinum(path='file.parquet')     a local file with its columns

The verifier "math" takes a form of the number and nothing else, gsm8k_platinum(verifier='published') the last number of
the answer, as published results are computed.
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(
    load_rows,
    path="madrylab/gsm8k-platinum",
    name="main",
    prompt="question",
    answer="answer",
    answer_after="####",
    verifier="math",
)
