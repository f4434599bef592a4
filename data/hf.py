"""Any table of yours or of the hub: JSONL, JSON, parquet, CSV, a folder that `datasets` saved, owner/name.

hf(path='mine.parquet', prompt='question', answer='final', verifier='math', test=0.1)
hf(path='owner/name', name='main', prompt='problem', answer='answer', verifier='number')
"""

from rlvr import load_rows as load
from rlvr import row_gold as gold_answer
from rlvr import row_solution as solution
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "gold_answer", "load", "solution", "verify"]
