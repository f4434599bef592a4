"""TriviaQA (1705.03551) without its documents; any of the aliases is right.

The answers of the published test split are secret: `test` is the published validation split, and a tenth of the
training rows (by a hash of the question) are `validation`.

    triviaqa                          mandarjoshi/trivia_qa from the hub
    triviaqa(path='file.parquet')     a local file with its columns
"""

from functools import partial

from rlvr import load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]

load = partial(
    load_rows,
    path="mandarjoshi/trivia_qa",
    name="rc.nocontext",
    prompt="question",
    answer="answer.value",
    aliases="answer.aliases",
    id="question_id",
    verifier="qa",
    test="validation",
    validation=0.1,
)
