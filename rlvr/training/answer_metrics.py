"""Measure collapse in the final answers of one batch: one answer for everything, numbers copied from the prompt."""

import json
import math
import re
from collections.abc import Sequence

import torch

from rlvr.core.records import Completion

_NUMBER = re.compile(r"(?<![\w.])-?[0-9]+(?:\.[0-9]+)?(?![\w.]*[0-9])")


def repetition(completions: Sequence[Completion], group_size: int) -> float:
    """Return how often two completions of problems with different gold answers give the same final answer.

        mean over pairs of groups p, q with gold_p != gold_q of  sum_a f_p(a) f_q(a),
        f_p(a) = the share of group p that answers a

    In [0, 1] (no paper): near 0 where answers follow the problem, however many answers there are; 1 / options for
    blind guessing among few options; s^2 where one answer takes the share s of all completions; 1 when nothing else is
    said. Completions without an answer repeat nothing. NaN where all problems have the same gold answer.

    `completions` are prompt-major, `group_size` to a problem.

    >>> from rlvr.core.records import Problem
    >>> a, b = Problem("a", [], "5"), Problem("b", [], "6")
    >>> repetition([Completion(a, "", "5"), Completion(a, "", "7"), Completion(b, "", "7"), Completion(b, "", "7")], 2)
    0.5
    """
    golds = [json.dumps(c.problem.answer, sort_keys=True) for c in completions[::group_size]]
    column: dict[str, int] = {}
    spots = [
        (i // group_size, column.setdefault(c.answer.strip(), len(column)))
        for i, c in enumerate(completions)
        if c.answer is not None
    ]
    share_PA = torch.zeros(len(golds), max(1, len(column)))
    if spots:
        rows, columns = torch.tensor(spots).T
        share_PA.index_put_((rows, columns), torch.tensor(1 / group_size), accumulate=True)
    number = {gold: i for i, gold in enumerate(golds)}
    gold_P = torch.tensor([number[gold] for gold in golds])
    differ_PP = gold_P[:, None] != gold_P
    if not differ_PP.any():
        return math.nan
    return (share_PA @ share_PA.T)[differ_PP].mean().item()


def echo(completions: Sequence[Completion]) -> float:
    """Return the share of completions that are wrong and whose final answer is a number of their own prompt.

    In [0, 1] (no paper). Right answers never count, though a number of the prompt may be one. Only the last message is
    read: the problem, not the instructions.

    >>> from rlvr.core.records import Problem
    >>> problem = Problem("a", [{"role": "user", "content": "What is 12 + 34?"}], "46")
    >>> echo([Completion(problem, "", "34"), Completion(problem, "", "46", correct=True), Completion(problem, "", "4")])
    0.3333333333333333
    """
    numbers = {id(p): set(_NUMBER.findall(p.prompt[-1]["content"])) for p in (c.problem for c in completions)}
    copies = sum(c.correct is False and (c.answer or "").strip() in numbers[id(c.problem)] for c in completions)
    return copies / len(completions)
