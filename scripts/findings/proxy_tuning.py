"""Finding: a small model's tuning, added to a larger model's logits, does most of what tuning it would (2401.08565).

    python scripts/findings/proxy_tuning.py            redraw from the committed results
    python scripts/findings/proxy_tuning.py --rerun    train and measure again first (about 10 minutes of one core)
    python scripts/findings/proxy_tuning.py --models FOLDER    save the four models of seed 1000, and stop

The criterion, in pages/proxy_tuning.md, was committed before the run. The settings are those of the pilot: the base,
expert and directly tuned models of seed 1000, which is not among the seeds; no steered model was looked at.
"""

import argparse
import itertools
import json
import random
import re
import statistics
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from finding import REPO, Finding, Page, Point, outcome, run_all_again
from matplotlib.figure import Figure
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from rlvr.core.files import write_whole
from rlvr.core.parse import parse, render
from rlvr.core.records import Problem
from rlvr.measure.evaluate import make_engine
from rlvr.measure.metrics import Interval, bootstrap, paired_difference
from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny, trainable_parameters
from rlvr.models.sampling import Sampling, Steered
from rlvr.problems.sets import load_problems, problem_set

RESULTS = REPO / "docs" / "findings" / "proxy_tuning" / "results.json"
SET = Path(__file__).parent / "parts" / "three_digits.py"

SEEDS = range(8)
SIZES = {"small": (32, 2), "large": (64, 3)}  # width, layers
PRETRAINING = {"steps": 600, "batch": 32, "rate": 5e-3}
TUNING = {"steps": 100, "batch": 32, "rate": 1e-3}
ALPHAS = (0.0, 0.5, 1.0, 1.5, 2.0)
FACTS, LENGTH, TAGS = 32, 32, ("think", "answer")
MEASURES = {
    "format": "exactly the tuned form",
    "arithmetic": "right, and stated where it can be verified",
    "value": "right value, in whatever form",
    "facts": "facts of pre-training recalled",
}


# ---------------------------------------------------------------- what is learned


@cache
def content() -> ModuleType:
    """The problem set scripts/findings/parts/three_digits.py."""
    return problem_set(str(SET))


@cache
def sums(split: str) -> list[Problem]:
    """The sums of one split."""
    return load_problems(str(SET), split, None, 0)


def in_form(problem: Problem) -> str:
    """Return the completion that tuning teaches."""
    return render(content().solution(problem), problem.answer, tags=TAGS)


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
            bare = content().solution(problem)
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


# ---------------------------------------------------------------- what is measured


def measure(policy: PreTrainedModel | Steered, tokenizer: PreTrainedTokenizerBase, seed: int) -> dict[str, str]:
    """Return one character, 0 or 1, for each held-out sum (three measures) and each fact, under greedy decoding."""
    problems, table, verify = sums("test"), facts(seed), content().verify
    asked = [problem.id for problem in problems] + [key for key, _ in table]
    prompts = encode(tokenizer, [[{"role": "user", "content": text}] for text in asked])
    samples = make_engine(policy, tokenizer).generate(prompts, 1, Sampling(LENGTH, 0.0), 0)
    texts = tokenizer.batch_decode(samples.ids, skip_special_tokens=True)
    found: dict[str, list[bool]] = {name: [] for name in MEASURES}
    for problem, text in zip(problems, texts, strict=False):
        read = parse(text, TAGS)
        found["format"].append(read.format_ok)
        found["arithmetic"].append(read.answer is not None and verify(read.answer, problem.answer))
        found["value"].append(re.findall(r"(?<!\d)-?\d+", text)[-1:] == [problem.answer])
    found["facts"] = [value in text for (_, value), text in zip(table, texts[len(problems) :], strict=True)]
    return {name: "".join("01"[hit] for hit in hits) for name, hits in found.items()}


def latency(policy: PreTrainedModel | Steered, tokenizer: PreTrainedTokenizerBase) -> float:
    """Return milliseconds a step of 64 rows, the median of five runs of 32 steps."""
    engine = make_engine(policy, tokenizer)
    engine.eos_ids = []
    prompts = encode(tokenizer, [problem.prompt for problem in sums("test")[:64]])
    seconds = [engine.generate(prompts, 1, Sampling(32, 0.0), 0).seconds for _ in range(6)][1:]
    return 1000 * statistics.median(seconds) / 32


def four_models(seed: int) -> tuple[dict[str, PreTrainedModel], PreTrainedTokenizerBase]:
    """Return small, expert (small, tuned), base (large) and tuned (large, tuned), from scratch."""
    small, tokenizer = pretrain("small", seed)
    large, _ = pretrain("large", seed)
    expert, direct = tuned(small, tokenizer, seed), tuned(large, tokenizer, seed)
    return {"small": small, "expert": expert, "base": large, "tuned": direct}, tokenizer


def measure_seed(seed: int) -> dict[str, Any]:
    """Train the four models of a seed, measure them and the steered one; the last seed's speed is measured too."""
    plain, tokenizer = four_models(seed)
    steered = {alpha: Steered(plain["base"], plain["expert"], plain["small"], alpha) for alpha in ALPHAS}
    found = {name: measure(model, tokenizer, seed) for name, model in plain.items()}
    found |= {f"alpha {alpha:g}": measure(policy, tokenizer, seed) for alpha, policy in steered.items()}
    if seed != SEEDS[-1]:
        return {"models": found}
    policies = {"base": plain["base"], "expert": plain["expert"], "steered": steered[1.0]}
    return {"models": found, "milliseconds": {n: round(latency(p, tokenizer), 2) for n, p in policies.items()}}


def rerun(options: argparse.Namespace) -> None:
    """Run every seed and store every verdict."""
    tasks = [{"seed": seed} for seed in SEEDS]
    with run_all_again(REPO / "runs" / "finding-proxy_tuning", tasks, measure_seed, options.jobs) as rows:
        results = {
            "seeds": {str(r["seed"]): r["models"] for r in rows},
            "milliseconds": rows[-1]["milliseconds"],
            "minutes": round(sum(r["seconds"] for r in rows) / 60, 1),
        }
        write_whole(RESULTS, json.dumps(results, indent=1) + "\n")


def models(folder: Path, seed: int = 1000) -> None:
    """Save the four models of one seed, and print what each learned; no steered model is looked at."""
    trained, tokenizer = four_models(seed)
    for name, model in {**trained, "large": trained["base"]}.items():
        if name != "base":
            shares = {m: round(v.count("1") / len(v), 3) for m, v in measure(model, tokenizer, seed).items()}
            print(f"{name}, {trainable_parameters(model)} parameters: {shares}")
            model.save_pretrained(folder / name)
            tokenizer.save_pretrained(folder / name)


# ---------------------------------------------------------------- what it says


def verdicts(results: dict, name: str, measure: str) -> np.ndarray:
    """Return the verdicts of one model on one measure, all seeds in a row."""
    return np.array([c == "1" for record in results["seeds"].values() for c in record[name][measure]], dtype=float)


def share(results: dict, measure: str, name: str = "alpha 1") -> Interval:
    """Return (steered - base) / (tuned - base) with its interval."""
    sides = [verdicts(results, side, measure) for side in (name, "base", "tuned")]

    def ratio(steered, base, tuned):
        gap = tuned.mean() - base.mean()
        return (steered.mean() - base.mean()) / gap if gap else float("nan")

    return bootstrap(ratio, *sides)


def change(results: dict, measure: str, old: str, new: str) -> Interval:
    """Return the paired difference new - old with its interval."""
    return paired_difference(verdicts(results, old, measure), verdicts(results, new, measure))


def over_seeds(results: dict, measure: str, old: str, new: str) -> Interval:
    """Return the mean difference new - old with its t interval over seeds."""
    seeds = [{"seeds": {seed: record}} for seed, record in results["seeds"].items()]
    return t_interval([verdicts(s, new, measure).mean() - verdicts(s, old, measure).mean() for s in seeds])[0]


def points(results: dict) -> list[Point]:
    """Return each point of the criterion; a point without a gap is void."""
    found = []
    for measure, least in (("format", 0.75), ("arithmetic", 0.5)):
        gap = change(results, measure, "base", "tuned")
        if gap.value < 0.05:
            found.append(Point(f"{measure}: no gap to close", f"{change(results, measure, 'base', 'alpha 1')}", "void"))
        else:
            part = share(results, measure)
            found.append(Point(f"{measure}: share of the gap closed", str(part), part.value >= least))
    above = [change(results, "arithmetic", other, "alpha 1") for other in ("base", "expert")]
    rises = all(interval.low > 0 for interval in above)
    found.append(Point("arithmetic: steered - base; steered - expert", "; ".join(map(str, above)), rises))
    lost, kept = change(results, "facts", "tuned", "base"), change(results, "facts", "tuned", "alpha 1")
    held = "void" if lost.value < 0.05 else kept.low > 0
    found.append(Point(f"facts: steered - directly tuned (which lost {lost})", str(kept), held))
    return found


@styled
def sweep_figure(results: dict) -> Figure:
    """Draw each measure against alpha: the steered model (line; a thin line for each seed), the tuned ones (levels)."""
    fig = new_figure(4.6)
    colour, marker = look(0)
    for i, (ax, measure) in enumerate(zip(fig.subplots(2, 2, sharex=True, sharey=True).flat, MEASURES, strict=True)):
        for record in results["seeds"].values():
            values = [record[f"alpha {a:g}"][measure] for a in ALPHAS]
            ax.plot(ALPHAS, [v.count("1") / len(v) for v in values], color=colour, linewidth=0.6, alpha=0.5)
        means = [verdicts(results, f"alpha {a:g}", measure).mean() for a in ALPHAS]
        ax.plot(ALPHAS, means, color=colour, marker=marker, markersize=4, label="steered")
        for name, style in (("tuned", "--"), ("expert", ":")):
            label = {"tuned": "large, tuned directly", "expert": "small, tuned (the expert)"}[name]
            ax.axhline(verdicts(results, name, measure).mean(), color=GREY, linestyle=style, label=label)
        ax.set(title=measure, ylim=(-0.03, 1.03), ylabel="" if i % 2 else "share of problems")
        if i > 1:
            ax.set_xlabel("alpha")
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


def page(results: dict) -> Page:
    """Return what the results say."""

    def mean(name: str, record: dict | None = None) -> str:
        seeds = {"seeds": {0: record}} if record else results
        return " | ".join(f"{verdicts(seeds, name, measure).mean():.3f}" for measure in MEASURES)

    names = {
        "small": "small, untuned (the anti-expert)",
        "expert": "small, tuned (the expert)",
        "base": "large, untuned (the base)",
        "alpha 1": "**large, steered** (alpha = 1)",
        "tuned": "large, tuned directly",
    }
    models = "\n".join(f"| {label} | {mean(name)} |" for name, label in names.items())
    sweep = "\n".join(f"| {a:g} | {mean(f'alpha {a:g}')} |" for a in ALPHAS)
    seeds = "\n".join(
        f"| {seed}: {names[name]} | {mean(name, record)} |"
        for seed, record in results["seeds"].items()
        for name in ("base", "alpha 1", "tuned")
    )
    rises = "\n".join(
        f"| {label} | {change(results, measure, old, 'alpha 1')} | {over_seeds(results, measure, old, 'alpha 1')} |"
        for label, measure, old in (
            ("arithmetic: steered - expert", "arithmetic", "expert"),
            ("arithmetic: steered - directly tuned", "arithmetic", "tuned"),
            ("**value: steered - base**", "value", "base"),
            ("facts: steered - base", "facts", "base"),
            ("**facts: steered - directly tuned**", "facts", "tuned"),
        )
    )
    found = points(results)
    counted = [bool(point.held) for point in found if point.held != "void"]
    ms, expert = results["milliseconds"], over_seeds(results, "arithmetic", "expert", "alpha 1")
    form, facts = over_seeds(results, "format", "base", "alpha 1"), over_seeds(results, "facts", "tuned", "alpha 1")
    claims: dict[str, bool | str] = {
        "the form": form.low > 0 and share(results, "format").value >= 0.75,
        "sums above the small expert's": expert.low > 0,
        "more facts than direct tuning": facts.low > 0,
        "the gap in sums": "not testable here",
    }
    values = {
        "size": {name: trainable_parameters(build_tiny(0, *shape)[0]) for name, shape in SIZES.items()},
        "SIZES": SIZES, "PRETRAINING": PRETRAINING, "TUNING": TUNING, "FACTS": FACTS, "MEASURES": MEASURES,
        "sums": len(sums("test")), "seeds_set": len(SEEDS), "seeds_ran": len(results["seeds"]), "facts": facts,
        "skill": over_seeds(results, "value", "base", "tuned"),
        "steered_sums": over_seeds(results, "value", "base", "alpha 1"),
        "models": models, "sweep": sweep, "by_seed": seeds, "rises": rises, "ms": ms,
        "times": ms["steered"] / ms["base"], "minutes": results["minutes"],
    }  # fmt: skip
    summary = outcome(counted) if len(counted) > 2 or not any(counted) else "partly reproduced"
    return Page(found, claims, {"sweep.svg": sweep_figure(results)}, values, summary)


FINDING = Finding("proxy_tuning", lambda: json.loads(RESULTS.read_text(encoding="utf-8")), page, rerun)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--models"]:
        models(Path(sys.argv[2]))
    else:
        FINDING.main(__doc__)
