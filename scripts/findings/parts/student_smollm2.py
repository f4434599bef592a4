"""The second student of student_selected.py: SmolLM2-135M on arithmetic, four arms, three seeds, rows of their own.

    cd scripts/findings && python -m parts.student_smollm2      about four hours of one core, by count of operations

It appends to docs/findings/student_selected/smollm2.jsonl; interrupted, the same call goes on, and the page shows what
is there. Replies differ in length here, so every arm trains until it has seen TOKENS reply tokens of ROWS rows.
"""

import os
import random
from functools import partial
from typing import Any

import numpy as np
from finding import REPO, run_tasks
from parts.student_arms import chosen, told
from parts.supervised import fit
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import rlvr
from rlvr.core.parse import parse, render
from rlvr.core.records import Problem
from rlvr.models.load import PACKAGED, load_model
from rlvr.problems.prompts import messages
from rlvr.problems.sets import ProblemSet
from rlvr.select.ifd import score_pairs
from rlvr.select.student import Pair, StudentSelector
from rlvr.training.supervised.warmup import Warmup, warmup

FILE = REPO / "docs" / "findings" / "student_selected" / "smollm2.jsonl"
MODEL, DATA = PACKAGED, "arithmetic(levels=[1, 2])"
FORM: dict[str, Any] = {"tags": ["think", "answer"], "system_prompt": "Answer in tags."}  # as in the recipe smollm2
ARMS, SEEDS = ("all_teacher", "student", "verified", "verify_student"), (1, 2, 3)
POOL, ROWS, BATCH, RATE = 200, 80, 16, 2e-5
TOKENS, TEST = 16_000, 200
WARMUP_STEPS = 40


def base() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model after the warm-up of the recipe smollm2, which teaches the form (cached)."""
    settings = Warmup(
        MODEL, DATA, WARMUP_STEPS, tags=tuple(FORM["tags"]), system_prompt=FORM["system_prompt"], bf16=False
    )
    return load_model(str(warmup(settings)))


def teach(seed: int, draw: random.Random) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the pool, and the right answer of every question in it.

    Originals have an odd wording and no working, and half are wrong; rewritten replies are worked: sound (half), with
    a slip in the result, or another problem's.
    """
    data = ProblemSet.of(DATA)
    problems, rows, gold = data.load("train", 3 * POOL, seed), [], dict[str, str]()
    assert data.solution is not None

    def question(problem: Problem, text: str) -> list[dict[str, str]]:
        gold[text] = str(problem.answer)
        return [{"role": "user", "content": text}]

    def terse(problem: Problem) -> str:
        return render("", wrong(problem) if draw.random() < 0.5 else str(problem.answer), tags=FORM["tags"])

    def wrong(problem: Problem) -> str:
        return str(int(problem.answer) + draw.choice((-10, -2, -1, 1, 2, 10)))

    def worked(problem: Problem, other: Problem, kind: str) -> str:
        one = other if kind == "irrelevant" else problem
        return render(data.solution(one), wrong(one) if kind == "slip" else str(one.answer), tags=FORM["tags"])

    for i, (first, second, other) in enumerate(zip(*np.split(np.array(problems, object), 3), strict=True)):
        kind = draw.choice(("sound", "sound", "slip", "irrelevant"))
        rows.append({
            "id": str(i), "kind": kind, "prompt": question(first, f"pls {first.prompt[-1]['content']} thx"),
            "completion": terse(first),
            "rewrites": {
                "instruction": {"prompt": question(second, second.prompt[-1]["content"]), "completion": terse(second)},
                "response": {"completion": worked(first, other, kind)},
                "both": {"completion": worked(second, other, kind)},
            },
        })  # fmt: skip
    return rows, gold


def asked(pair: Pair) -> Pair:
    """Return a pair behind the system message of training."""
    return messages(Problem("", pair[0], None), FORM["tags"], FORM["system_prompt"]), pair[1]


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> float:
    """Return the share of right answers on held-out problems, greedy."""
    found = rlvr.evaluate(
        model, DATA, tokenizer=tokenizer, size=TEST, n=1, temperature=0.0, max_completion_length=64, dtype="float32",
        **FORM,
    )  # fmt: skip
    return float(np.mean([p["c"] for p in found.record["problems"]]))


def replicate(seed: int) -> dict[str, Any]:
    """Score a pool and train every arm on it; return what is right before and after, arm by arm."""
    model, tokenizer = base()
    rows, gold = teach(seed, random.Random(f"smollm2/{seed}"))

    def is_right(pair: Pair) -> bool:
        return parse(pair[1], FORM["tags"]).answer == gold[pair[0][-1]["content"]]

    score = partial(score_pairs, model, tokenizer)
    scores = StudentSelector(lambda pairs: score([asked(pair) for pair in pairs])).fit(rows).scores_
    before = measure(model, tokenizer)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    found: dict[str, Any] = {
        "before": before,
        "auroc": {kind: told(rows, scores, kind) for kind in ("slip", "irrelevant")},
    }
    for arm in ARMS:
        pairs = chosen(arm, rows, scores, is_right, seed)
        some = [asked(pair) for pair in random.Random(seed).sample(pairs, min(ROWS, len(pairs)))]
        length = np.mean([len(ids) + 1 for ids in tokenizer([reply for _, reply in some]).input_ids])
        model.load_state_dict(weights)
        seen = fit(model, tokenizer, some, round(TOKENS / (BATCH * length)), BATCH, RATE, seed, template=None)
        found[arm] = {"after": measure(model, tokenizer), "rows": len(some), "tokens": seen}
    return found


if __name__ == "__main__":
    os.chdir(REPO)  # problem sets are named relative to it
    run_tasks(FILE, [{"seed": seed} for seed in SEEDS], replicate)
