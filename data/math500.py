"""MATH-500 (2103.03874, the 500 problems of 2305.20050): competition mathematics, answers are formulas.

math500                          HuggingFaceH4/MATH-500 from the hub
math500(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "solution", "verify"]

load = partial(
    load_rows,
    path="HuggingFaceH4/MATH-500",
    prompt="problem",
    answer="answer",
    solution="solution",
    id="unique_id",
    task="subject",
    verifier="math",
)


def solution(problem: Problem) -> str:
    """Return the worked solution of the row."""
    return str(problem.meta["solution"])
