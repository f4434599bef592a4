"""Any table of yours or of the hub: JSONL, JSON, parquet, CSV, a folder that `datasets` saved, owner/name.

hf(path='mine.parquet', prompt='question', answer='final', verifier='math', test=0.1)
hf(path='owner/name', name='main', prompt='problem', answer='answer', verifier='number')
"""

from rlvr import Problem
from rlvr import load_rows as load
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "solution", "verify"]


def solution(problem: Problem) -> str:
    """Return the worked solution of the row; an empty text where no column was named."""
    return str(problem.meta.get("solution_text", ""))
