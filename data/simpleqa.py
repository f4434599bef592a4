"""SimpleQA (2411.04368): short questions of fact, measured by the same words where its authors ask a model.

simpleqa                          basicv8vc/SimpleQA from the hub
simpleqa(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(load_rows, path="basicv8vc/SimpleQA", prompt="problem", answer="answer", verifier="qa")
