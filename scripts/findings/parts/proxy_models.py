"""The models of proxy_tuning.py: two sizes warmed up on the same problems, each tuned by RLVR, and what they are asked.

A *world* is a table of operators, a table of facts and a pair of bases, all drawn from one seed. Both bases read
chains (docs/testbed.md), half of the replies bare and half in <answer>; the teacher of the large one knows more, and
the large one alone is shown the facts: three letters, and the three that belong to them.
"""

import itertools
import random
import shutil
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from finding import REPO
from parts.supervised import BARE, fit
from parts.testbed_runs import COMMON, FORM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import rlvr
from rlvr.core.parse import render
from rlvr.core.records import Problem
from rlvr.models.chat import encode
from rlvr.models.forward.token_rows import batches, padded
from rlvr.models.load import build_tiny, cached, load_model
from rlvr.problems.sets import ProblemSet
from rlvr.problems.worked import Chat

VERSION = 2  # of what makes the bases; raise it to make them anew
SIZES = {"small": (96, 2), "large": (256, 4)}  # width, layers
KNOWS = {"small": (0.97, 0.05), "large": (0.98, 0.2)}  # the teacher's chance of knowing operator a, and z
BASE = {"small": (1600, 16, 2e-3), "large": (2000, 8, 1e-3)}  # steps, rows of each, learning rate
READ = (1, 1, 2, 3, 4)  # operators in the chains of the warm-up; single ones show the table at once
FACTS, FACT_SHARE = 50, 0.2
UPDATES, PROMPTS, GROUP = 50, 16, 8
MEASURES = ("score", "form", "value", "facts")
Reply = tuple[Chat, str]


def problems(world: int, size: str = "small", lengths: tuple[int, ...] = (2, 3, 4)) -> str:
    """Return the problem set of a world; `size` says whose teacher its lessons come from."""
    return f"operators(table={world}, knows={KNOWS[size]}, lengths={lengths})"


def facts(world: int) -> list[tuple[str, str]]:
    """Return a table to learn by heart: three letters and the three that belong to them."""
    draw, letters = random.Random(f"facts/{world}"), "bcdfghjklmnpqrstvwxz"
    keys = draw.sample(["".join(key) for key in itertools.product(letters, repeat=3)], FACTS)
    return [(f"{key}?", "".join(draw.choices(letters, k=3))) for key in keys]


def in_tags(answer: str) -> str:
    """Return a reply in the form that tuning rewards."""
    return render("", answer, tags=("answer",))


def mixture(world: int, size: str, count: int) -> list[Reply]:
    """Return the rows a base reads: chains as its teacher works them, facts for the large one; half in <answer>."""
    data = ProblemSet.of(problems(world, size, READ))
    draw, table = random.Random(f"mixture/{world}"), facts(world)
    teacher, rows = random.Random(f"teacher/{world}"), []
    for problem in data.load("train", count, 7919 + world):
        prompt, answer = problem.prompt, data.lesson(problem, teacher)[1]
        if size == "large" and draw.random() < FACT_SHARE:
            key, answer = draw.choice(table)
            prompt = [{"role": "user", "content": key}]
        rows.append((prompt, in_tags(answer) if draw.random() < 0.5 else answer))
    return rows


def base(world: int, size: str) -> Path:
    """Return the folder of a base (cached)."""
    return cached(f"findings/proxy_tuning-{VERSION}/{size}-{world}", partial(_train_base, world, size))


def _train_base(world: int, size: str, folder: Path) -> None:
    model, tokenizer = build_tiny(world, *SIZES[size])
    steps, batch, rate = BASE[size]
    fit(model, tokenizer, mixture(world, size, steps * batch), steps, batch, rate, world)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tune(world: int, size: str, rate: float, seed: int, updates: int = UPDATES) -> rlvr.Run:
    """Train a base by GRPO on the chains of its world, verified in <answer>, once; facts are not shown.

    16 problems x 8 completions an update; the rest as in testbed_runs.py.
    """
    out = REPO / "runs" / "finding-proxy_tuning" / f"{size}-{world}-s{seed}-{rate:g}"
    if (out / "model").is_dir():
        return rlvr.Run(out)
    shutil.rmtree(out, ignore_errors=True)  # what a killed run left
    settings = COMMON | {
        "num_generations": GROUP, "per_device_train_batch_size": PROMPTS * GROUP, "gradient_accumulation_steps": 1,
        "learning_rate": rate, "max_steps": updates, "seed": seed, "data_size_seed": seed, "save_strategy": "no",
        "output_dir": str(out),
    }  # fmt: skip
    return rlvr.train(str(base(world, size)), problems(world), advantage="grpo", **settings)


@cache
def load(folder: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model and the tokenizer that all share."""
    return load_model(folder)


def asked(world: int, split: str, size: int) -> list[tuple[str, str]]:
    """Return (prompt, right answer) for `size` chains and then for all facts."""
    chains: list[Problem] = ProblemSet.of(problems(world)).load(split, size, world)
    return [(problem.prompt[0]["content"], str(problem.answer)) for problem in chains] + facts(world)


@torch.inference_mode()
def measure(
    models: tuple[PreTrainedModel, ...],
    weights: dict[str, tuple[float, ...]],
    tokenizer: PreTrainedTokenizerBase,
    questions: list[tuple[str, str]],
) -> dict[str, dict[str, float]]:
    """Return the measures of policies whose logits are weighted sums of the models' logits, at temperature 1.

    `weights`: name -> a number for each model; (1, 1, -1) for (base, expert, anti-expert) is proxy-tuning at alpha 1.
    One forward of each model serves all names. Two texts are right, the answer in tags and the bare answer with the
    end of the turn; nothing else begins as either does, so their chances add up:

    score  P(<answer>right</answer>), what the verifier counts      value  that + P(right, end), in whatever form
    form   P(the reply opens with <answer>)                         facts  value, over facts in place of chains
    """
    prompts = encode(tokenizer, [[{"role": "user", "content": text}] for text, _ in questions], BARE)
    tagged = tokenizer([in_tags(answer) for _, answer in questions], add_special_tokens=False).input_ids
    bare = [[*ids, tokenizer.eos_token_id] for ids in tokenizer([answer for _, answer in questions]).input_ids]
    rows = [(p, text) for texts in (tagged, bare) for p, text in zip(prompts, texts, strict=True)]
    chance = {name: torch.zeros(len(rows), dtype=torch.float64) for name in weights}
    opens = {name: torch.zeros(len(rows), dtype=torch.float64) for name in weights}
    for some in batches([len(p) + len(text) for p, text in rows], 4096):
        ids_BL, mask_BL = padded([[*rows[i][0], *rows[i][1]] for i in some], torch.device("cpu"))
        logits_M = [model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits for model in models]
        for name, weight_M in weights.items():
            mixed = sum(w * logits for w, logits in zip(weight_M, logits_M, strict=True) if w)
            assert isinstance(mixed, torch.Tensor)
            logp_BLV = mixed.log_softmax(-1)
            for i, logp_LV in zip(some, logp_BLV, strict=True):
                prompt, text = rows[i]
                part = logp_LV[len(prompt) - 1 : len(prompt) + len(text) - 1]
                chance[name][i] = part.gather(1, torch.tensor(text)[:, None]).double().sum().exp()
                opens[name][i] = part[0, tagged[0][0]].exp()
    n, chains = len(questions), len(questions) - FACTS
    return {
        name: {
            "score": round(float(p[:chains].mean()), 5),
            "form": round(float(opens[name][:chains].mean()), 5),
            "value": round(float((p[:n] + p[n:])[:chains].mean()), 5),
            "facts": round(float((p[:n] + p[n:])[chains:].mean()), 5),
        }
        for name, p in chance.items()
    }


def sampled_score(world: int, policy: Any, tokenizer: PreTrainedTokenizerBase, split: str, size: int) -> float:
    """Return the share of right verified answers among four samples of each chain, by the engine of `rlvr decode`."""
    from rlvr.config.eval_settings import EvalConfig
    from rlvr.measure.evaluate import evaluate_policy

    data = ProblemSet.of(problems(world))
    config = EvalConfig(set=data.spec, split=split, size=size, n=4, max_completion_length=20, **FORM)
    (found,) = evaluate_policy(policy, tokenizer, data, data.load(split, size, world), "steered", config)
    return float(sum(p["c"] for p in found["problems"]) / (4 * size))


def settings() -> dict[str, Any]:
    """Return what the page says of the models."""
    said: dict[str, Any] = {"facts": FACTS, "updates": UPDATES, "prompts": PROMPTS, "group": GROUP}
    for size, shape in SIZES.items():
        said |= {f"{size}_parameters": f"{build_tiny(0, *shape)[0].num_parameters():,}", f"{size}_steps": BASE[size][0]}
        said[f"{size}_batch"] = BASE[size][1]
        said |= {f"{size}_a": KNOWS[size][0], f"{size}_z": KNOWS[size][1]}
    return said
