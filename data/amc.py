"""AMC 2023: the forty problems whose answer is a number.

amc                          math-ai/amc23 from the hub
amc(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(load_rows, path="math-ai/amc23", prompt="question", answer="answer", verifier="math")
