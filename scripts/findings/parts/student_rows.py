"""The rows of student_selected.py: chains of operators with rewrites by a rule-based teacher, half of them bad.

    original     x: a chain of three operators      y: a weak writer's digits, without the operators: 3.7 7.2 2.9
    instruction  x': another chain; of every second row one whose operators the student knows badly      same writer
    response     x, y*: operators named, 3c7 7a2 2f9: right (sound), one digit wrong (slip), or another's (irrelevant)
    both         x', y*

All replies have the same number of tokens, so arms that see equally many rows see equally many tokens.
"""

import random
import string
from functools import partial
from pathlib import Path
from typing import Any

import torch
from finding import REPO
from parts.supervised import BARE, fit
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.parse import render
from rlvr.core.records import Problem
from rlvr.measure.exact import continuation_logps
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny, cached, load_model
from rlvr.problems.sets import ProblemSet, problem_set
from rlvr.problems.worked import Chat
from rlvr.select.ifd import GUESS

VERSION = 2  # of what makes the bases; raise it to make them anew
SHAPE = (96, 2)  # width, layers
LENGTH = 3
KNOWS = (0.99, 0.4)  # the warm-up teacher's and the weak writer's chance of knowing operator a, and z
BASE = {"steps": 2000, "batch": 16, "rate": 2e-3}
KINDS = {"sound": 0.5, "slip": 0.25, "irrelevant": 0.25}
OPERATORS = problem_set(str(REPO / "data" / "operators.py"))
HARD = string.ascii_lowercase[13:]
Reply = tuple[Chat, str]


def problems(world: int) -> str:
    """Return the problem set of a world."""
    return f"operators(table={world}, knows={KNOWS}, lengths=({LENGTH},))"


def ask(text: str) -> Chat:
    """Return a chat that asks one question."""
    return [{"role": "user", "content": text}]


def tagged(answer: str) -> str:
    """Return a reply in the form of the test."""
    return render("", answer, tags=("answer",))


def unnamed(answer: str) -> str:
    """Return a chain without its operators, as the original replies have it.

    >>> unnamed("3c7 7a2 2f9")
    '3.7 7.2 2.9'
    """
    return " ".join(f"{step[0]}.{step[2]}" for step in answer.split())


def right(text: str, world: int) -> str:
    """Return the right chain of a question."""
    totals, table = [int(text[0])], OPERATORS.results(world)
    for letter in text[1:]:
        totals.append(table[letter][totals[-1]])
    steps = zip(totals[:-1], text[1:], totals[1:], strict=True)
    return " ".join(f"{before}{letter}{after}" for before, letter, after in steps)


def is_right(pair: Reply, world: int) -> bool:
    """Return whether a pair's reply is right, its operators named or not."""
    answer = right(pair[0][-1]["content"], world)
    return pair[1] in (tagged(answer), tagged(unnamed(answer)))


def teach(world: int, count: int, draw: random.Random) -> list[dict[str, Any]]:
    """Return rows of training problems with all three rewrites; `kind` says what the rewritten replies are."""
    data = ProblemSet.of(problems(world))
    pool = data.load("train", 3 * count, world)
    held_out = {p.meta["text"] for split in ("validation", "test") for p in data.load(split, 4000, world)}
    rows = []
    for i, problem in enumerate(pool[:count]):
        other = pool[count + i]
        if i % 2:  # a harder question
            text = other.meta["text"][0] + "".join(draw.choices(HARD, k=LENGTH))
            other = at(world, text) if text not in held_out else other
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        rows.append({
            "id": str(i), "prompt": problem.prompt, "completion": written(data, problem, draw), "kind": kind,
            "rewrites": {
                "instruction": {"prompt": other.prompt, "completion": written(data, other, draw)},
                "response": {"completion": rewritten(problem, kind, pool[2 * count + i], draw)},
                "both": {"completion": rewritten(other, kind, pool[2 * count + i], draw)},
            },
        })  # fmt: skip
    return rows


def at(world: int, text: str) -> Problem:
    """Return the problem that asks one text."""
    answer = right(text, world)
    meta = {
        "text": text,
        "totals": [int(s[2]) for s in answer.split()],
        "answer": "all",
        "knows": KNOWS,
        "table": world,
    }
    return Problem(text, ask(text), answer, "operators", meta)


def written(data: ProblemSet, problem: Problem, draw: random.Random) -> str:
    """Return what the weak writer replies: operators not named, each digit known with the writer's chance."""
    return tagged(unnamed(data.lesson(problem, draw)[1]))


def rewritten(problem: Problem, kind: str, other: Problem, draw: random.Random) -> str:
    """Return a rewritten reply: the right chain, that chain with one digit wrong, or another problem's right chain."""
    if kind == "irrelevant":
        return tagged(str(other.answer))
    answer = str(problem.answer)
    if kind == "slip":
        place = 2 + 4 * draw.randrange(LENGTH)
        wrong = draw.choice([digit for digit in string.digits if digit != answer[place]])
        answer = answer[:place] + wrong + answer[place + 1 :]
    return tagged(answer)


def base(world: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a world's student: warmed up on the weak teacher's chains, and on guessing questions from replies."""
    folder = cached(f"findings/student_selected-{VERSION}/{world}", partial(_train_base, world))
    return load_model(str(folder))


def _train_base(world: int, folder: Path) -> None:
    model, tokenizer = build_tiny(world, *SHAPE)
    count = BASE["steps"] * BASE["batch"]
    fit(model, tokenizer, _lessons(world, int(count)), int(BASE["steps"]), int(BASE["batch"]), BASE["rate"], world)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _lessons(world: int, count: int) -> list[Reply]:
    """Three in four named; one in five the other way round; one in ten a text whose partner is left out."""
    data, draw, rows = ProblemSet.of(problems(world)), random.Random(f"student/{world}"), []
    for problem in data.load("train", count, 7919 + world):
        question, answer = problem.meta["text"], data.lesson(problem, draw)[1]
        reply = tagged(answer if draw.random() < 0.75 else unnamed(answer))
        way = draw.random()
        if way < 0.2:
            question, reply = GUESS.format(reply=reply), question
        elif way < 0.25:
            question, reply = GUESS.format(reply=""), question
        elif way < 0.3:
            question = ""
        rows.append((ask(question), reply))
    return rows


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, world: int, split: str, size: int) -> float:
    """Return the probability of a right reply, operators named or not, mean over held-out chains, from the logits."""
    chains = ProblemSet.of(problems(world)).load(split, size, world)
    prompts = encode(tokenizer, [problem.prompt for problem in chains], BARE)
    total = 0.0
    for form in (str, unnamed):
        texts = [tagged(form(str(problem.answer))) for problem in chains]
        rights = tokenizer(texts, add_special_tokens=False).input_ids
        total += float(continuation_logps(model, prompts, rights).exp().sum())
    return round(total / size, 5)


@torch.no_grad()
def copy_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model with the same weights, to be trained."""
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    return copy
