"""Make the four toy models that docs/proxy.md steers: `python scripts/findings/parts/proxy_toys.py runs/proxy`.

Two sizes learn the same rows from a seed: 32 facts by heart, and sums of three digits (three_digits.py) in bare text.
`expert` and `tuned` are the small and the large one after tuning on sums in <think> and <answer>. Two minutes of one
core.
"""

import itertools
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from rlvr.core.parse import render
from rlvr.core.records import Problem
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny, trainable_parameters
from rlvr.problems.sets import load_problems, problem_set

SET = Path(__file__).with_name("three_digits.py")
CONTENT = problem_set(str(SET))
SIZES = {"small": (32, 2), "large": (64, 3)}  # width, layers
PRETRAINING = {"steps": 600, "batch": 32, "rate": 5e-3}
TUNING = {"steps": 100, "batch": 32, "rate": 1e-3}
FACTS, TAGS = 32, ("think", "answer")


@cache
def sums(split: str) -> list[Problem]:
    """The sums of one split."""
    return load_problems(str(SET), split, None, 0)


def in_form(problem: Problem) -> str:
    """Return the completion that tuning teaches."""
    return render(CONTENT.solution(problem), problem.answer, tags=TAGS)


def facts(seed: int) -> list[tuple[str, str]]:
    """A table to learn by heart: three letters and the three that belong to them."""
    draw, letters = random.Random(f"facts/{seed}"), "bcdfghjklmnpqrstvwxz"
    keys = draw.sample(["".join(key) for key in itertools.product(letters, repeat=3)], FACTS)
    return [(f"{key}?", "".join(draw.choices(letters, k=3))) for key in keys]


def mixture(seed: int) -> Iterator[tuple[str, str]]:
    """Half facts, half sums; nine sums in ten are bare, one in ten has the form that tuning will teach."""
    draw, table, problems = random.Random(f"pretraining/{seed}"), facts(seed), sums("train")
    while True:
        if draw.random() < 0.5:
            yield draw.choice(table)
        else:
            problem = draw.choice(problems)
            bare = CONTENT.solution(problem)
            yield problem.id, in_form(problem) if draw.random() < 0.1 else bare


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Iterator[tuple[str, str]],
    steps: int,
    batch: int,
    rate: float,
) -> None:
    """Supervised steps on (prompt, completion) pairs, loss on the completion."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    for _ in range(steps):
        some = list(itertools.islice(pairs, batch))
        prompts = encode(tokenizer, [[{"role": "user", "content": text}] for text, _ in some])
        ends = [[*tokenizer(completion).input_ids, tokenizer.eos_token_id] for _, completion in some]
        width = max(len(p) + len(e) for p, e in zip(prompts, ends, strict=True))
        ids = torch.zeros(batch, width, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for i, (p, e) in enumerate(zip(prompts, ends, strict=True)):
            ids[i, : len(p) + len(e)] = torch.tensor(p + e)
            labels[i, len(p) : len(p) + len(e)] = torch.tensor(e)
        model(input_ids=ids, labels=labels).loss.backward()  # padding stands on the right, where nobody looks
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()


def pretrain(size: str, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Build one size and train it on the mixture; both sizes of a seed read the same rows."""
    model, tokenizer = build_tiny(seed, *SIZES[size])
    train(model, tokenizer, mixture(seed), **PRETRAINING)
    return model, tokenizer


def tuned(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """Return a tuned copy: sums alone, always in the form."""
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    draw, problems = random.Random(f"tuning/{seed}"), sums("train")
    shown = map(draw.choice, itertools.repeat(problems))
    train(copy, tokenizer, ((problem.id, in_form(problem)) for problem in shown), **TUNING)
    return copy


def four_models(seed: int) -> tuple[dict[str, PreTrainedModel], PreTrainedTokenizerBase]:
    """Return small, expert (small, tuned), base (large) and tuned (large, tuned), from scratch."""
    small, tokenizer = pretrain("small", seed)
    large, _ = pretrain("large", seed)
    expert, direct = tuned(small, tokenizer, seed), tuned(large, tokenizer, seed)
    return {"small": small, "expert": expert, "base": large, "tuned": direct}, tokenizer


def main(folder: Path, seed: int = 1000) -> None:
    """Save the four models of one seed: small, expert, large and tuned."""
    models, tokenizer = four_models(seed)
    for name, model in models.items():
        saved = folder / ("large" if name == "base" else name)
        print(f"{saved}: {trainable_parameters(model)} parameters")
        model.save_pretrained(saved)
        tokenizer.save_pretrained(saved)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
