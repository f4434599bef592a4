"""MMLU-Pro (2406.01574): questions of fourteen subjects, each with up to ten options.

mmlu_pro                          TIGER-Lab/MMLU-Pro from the hub
mmlu_pro(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(
    load_rows,
    path="TIGER-Lab/MMLU-Pro",
    prompt="question",
    answer="answer",
    options="options",
    id="question_id",
    task="category",
    verifier="choice",
)
