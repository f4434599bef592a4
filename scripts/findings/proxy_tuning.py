"""Finding: a small model's tuning, added to a larger model's logits, does most of what tuning it would (2401.08565).

    python scripts/findings/proxy_tuning.py            redraw from the committed results
    python scripts/findings/proxy_tuning.py --rerun    train and measure again first (about 10 minutes of one core)

The criterion below was committed before the run. The settings are those of the pilot: the base, expert and directly
tuned models of seed 1000, which is not among the seeds; no steered model was looked at.
"""

import argparse
import itertools
import json
import random
import re
import statistics
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from matplotlib.figure import Figure
from parts.verdict import verdict_lines
from scipy.stats import ttest_1samp
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from rlvr.core.parse import parse, render
from rlvr.core.records import Problem
from rlvr.measure.evaluate import make_engine
from rlvr.measure.metrics import Interval, bootstrap, paired_difference
from rlvr.measure.plots.style import GREY, figure_svg, look, new_figure, styled
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny, trainable_parameters
from rlvr.models.sampling import Sampling, Steered
from rlvr.problems.sets import load_problems, problem_set

REPO = Path(__file__).parents[2]
STORE = REPO / "docs" / "findings" / "proxy_tuning"
PAGE = STORE.with_suffix(".md")
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

CRITERION = """\
At alpha = 1, greedy decoding, all seeds pooled, 95% percentile bootstrap intervals over problems:

1. format: (steered - base) / (tuned - base) is at least 75%;
2. arithmetic: (steered - base) / (tuned - base) is at least 50%;
3. arithmetic: the steered model is above the base and above the small expert (both paired intervals above 0);
4. facts: the steered model recalls more than the directly tuned one (paired interval above 0). This point is void if
   direct tuning costs less than 5 points of facts.

A share whose denominator is below 5 points is replaced by the raw difference, and the point is void.
Reproduced: every point that is not void, and at least three are not. Partly: some. Not: none."""


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


def rerun(seeds: Iterable[int] = SEEDS) -> None:
    """Train the four models of each seed, measure them and the steered one, and store every verdict."""
    STORE.mkdir(parents=True, exist_ok=True)
    results: dict = {"seeds": {}}
    start = time.perf_counter()
    for seed in seeds:
        small, tokenizer = pretrain("small", seed)
        large, _ = pretrain("large", seed)
        expert, direct = tuned(small, tokenizer, seed), tuned(large, tokenizer, seed)
        plain = {"small": small, "expert": expert, "base": large, "tuned": direct}
        record = {name: measure(model, tokenizer, seed) for name, model in plain.items()}
        for alpha in ALPHAS:
            record[f"alpha {alpha:g}"] = measure(Steered(large, expert, small, alpha), tokenizer, seed)
        results["seeds"][seed] = record
        print(seed, {name: {m: round(v.count("1") / len(v), 3) for m, v in r.items()} for name, r in record.items()})
    policies = {"base": large, "expert": expert, "steered": Steered(large, expert, small)}
    results["milliseconds"] = {name: round(latency(policy, tokenizer), 2) for name, policy in policies.items()}
    results["minutes"] = round((time.perf_counter() - start) / 60, 1)
    (STORE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def models(folder: Path, seed: int = 1000) -> None:
    """Save the four models of one seed, and print what each learned; no steered model is looked at."""
    for size, tuned_size in (("small", "expert"), ("large", "tuned")):
        start = time.perf_counter()
        model, tokenizer = pretrain(size, seed)
        middle = time.perf_counter()
        for name, some in ((size, model), (tuned_size, tuned(model, tokenizer, seed))):
            print(name, {m: round(v.count("1") / len(v), 3) for m, v in measure(some, tokenizer, seed).items()})
            some.save_pretrained(folder / name)
            tokenizer.save_pretrained(folder / name)
        print(f"{trainable_parameters(model)} parameters, {middle - start:.0f} + {time.perf_counter() - middle:.0f} s")


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
    found = [verdicts(seed, new, measure).mean() - verdicts(seed, old, measure).mean() for seed in seeds]
    low, high = ttest_1samp(found, 0).confidence_interval()
    return Interval(float(np.mean(found)), low, high, len(found))


def judge(results: dict, verdict: str, held: int) -> str:
    """Return the verdict over seeds, and where it differs from the criterion's, over problems."""
    skill = over_seeds(results, "value", "base", "tuned")
    form = over_seeds(results, "format", "base", "alpha 1")
    expert = over_seeds(results, "arithmetic", "expert", "alpha 1")
    facts = over_seeds(results, "facts", "tuned", "alpha 1")
    claims = {
        "the form": form.low > 0 and share(results, "format").value >= 0.75,
        "sums above the small expert's": expert.low > 0,
        "more facts than direct tuning": facts.low > 0,
        "the gap in sums": "not testable here",
    }
    return verdict_lines(
        claims,
        f"""What was wrong with the design: tuning taught no sums. Counted in whatever form, direct tuning changes them
        by {skill} (t over seeds), so the gap of points 2 and 3 is one of form, and there is none in the sums to close;
        steering changes them by {over_seeds(results, "value", "base", "alpha 1")}. The facts were judged over problems;
        over seeds their interval is {facts}. By the criterion below: {verdict}, {held} of 4 points.""",
    )


def points(results: dict) -> list[tuple[str, str, str]]:
    """Return (claim, number, held: yes, no or void) for each point of the criterion."""
    rows = []
    for measure, least in (("format", 0.75), ("arithmetic", 0.5)):
        gap = change(results, measure, "base", "tuned")
        if gap.value < 0.05:
            rows.append((f"{measure}: no gap to close", f"{change(results, measure, 'base', 'alpha 1')}", "void"))
        else:
            part = share(results, measure)
            rows.append((f"{measure}: share of the gap closed", str(part), "yes" if part.value >= least else "no"))
    above = [change(results, "arithmetic", other, "alpha 1") for other in ("base", "expert")]
    held = "yes" if all(interval.low > 0 for interval in above) else "no"
    rows.append(("arithmetic: steered - base; steered - expert", "; ".join(map(str, above)), held))
    lost, kept = change(results, "facts", "tuned", "base"), change(results, "facts", "tuned", "alpha 1")
    held = "void" if lost.value < 0.05 else "yes" if kept.low > 0 else "no"
    rows.append((f"facts: steered - directly tuned (which lost {lost})", str(kept), held))
    return rows


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


def page(verdict: str, result: str) -> str:
    """Return the page: what was set before the run, then the result."""
    size = {name: trainable_parameters(build_tiny(0, *shape)[0]) for name, shape in SIZES.items()}
    return f"""# Proxy-tuning on from-scratch models

{verdict}

**Claim** (2401.08565). Adding the logit difference between a tuned and an untuned small model to a larger untuned one
closes most of the gap to tuning the larger one directly, and loses less of what the larger one knew. The paper closes
about 90% on style and knowledge but 55 to 77% on maths.

**Sizes, plainly.** These are toy models: byte tokenizer, Llama, small = {size["small"]:,} parameters
(width {SIZES["small"][0]}, {SIZES["small"][1]} layers), large = {size["large"]:,} (width {SIZES["large"][0]},
{SIZES["large"][1]} layers). The paper steers 13B and 70B with 7B.

**Design.** Both sizes are pre-trained from a seed on the same rows ({PRETRAINING["steps"]} x {PRETRAINING["batch"]}):
half are {FACTS} facts to learn by heart, half are sums of three digits (0 to 5) worked out in bare text, one in ten of
those in the form `<think>..</think><answer>..</answer>`. Tuning ({TUNING["steps"]} x {TUNING["batch"]}, supervised)
shows sums in that form only, no facts. Tested on {len(sums("test"))} sums that no model saw, and on all {FACTS} facts,
{len(SEEDS)} seeds, greedy. `format` = {MEASURES["format"]}; `arithmetic` = {MEASURES["arithmetic"]};
`value` = {MEASURES["value"]}; `facts` = {MEASURES["facts"]}, in whatever form.
Intervals are over problems, not over seeds.

**How the settings were fixed.** By looking at the four unsteered models of seed 1000, which is not among the seeds; no
steered model was looked at. Digits to 9 and 150 facts in 500 steps were too much (0% of the facts, at width 96 too);
with the settings above all facts were learned, and tuning the large model lost 9% of them.

**Criterion, committed before the run.**

{CRITERION}

**Result.**{result}

**Limits.** Toy sizes and a toy task; the tuning is supervised, not RLVR; one kind of knowledge, recalled word for word;
{len(SEEDS)} seeds. `facts` counts the right letters inside any text, so a model that wraps them in tags is not punished
for the form.

**What would change it.** Real sizes with one tokenizer (SmolLM2 135M steering 360M; needs the hub), an expert trained
by RLVR (the RL analogue is 2506.15710), knowledge that is asked for in more than one way.

Redraw: `make findings`. Train again: `make findings RERUN=1` (about 10 minutes of one free core).
"""


def result(results: dict, rows: list[tuple[str, str, str]]) -> str:
    """Return the part of the page that the run decides."""

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
    held = "\n".join(f"| {claim} | {number} | {verdict} |" for claim, number, verdict in rows)
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
    ms = results["milliseconds"]
    return f"""

| point | number [95%] | held |
|---|---|---|
{held}

| all seeds | format | arithmetic | value | facts |
|---|---|---|---|---|
{models}

**What the criterion does not say.** The base states no answer where it can be verified, so nearly all of its gap on
arithmetic is form. Counted in whatever form, steering makes it *worse* at sums, where direct tuning does not: the small
expert's mistakes come along with its form. And the seeds differ more than the problems of one seed do: over seeds, with
a t interval, the point about facts does not hold. A criterion over seeds would have been better, and "keeps more
knowledge than direct tuning" did not hold here. The form, and sums above the small expert's, hold either way.

| difference | over problems (bootstrap) | over {len(results["seeds"])} seeds (t) |
|---|---|---|
{rises}

The sweep (looked at after the run) shows a better trade at alpha = 0.5: nearly all of the form, and more of the facts.

![each measure against alpha](proxy_tuning/sweep.svg)

| alpha | format | arithmetic | value | facts |
|---|---|---|---|---|
{sweep}

| seed | format | arithmetic | value | facts |
|---|---|---|---|---|
{seeds}

**Cost.** Three forward passes a token instead of one. Measured with 64 rows on one thread of a shared machine:
{ms["base"]} ms a step for the base alone, {ms["expert"]} ms for the small model alone, {ms["steered"]} ms steered
({ms["steered"] / ms["base"]:.2f} times the base). The run took {results["minutes"]} minutes."""


def redraw() -> None:
    """Write the page, and its figure if there are results."""
    verdict, line = "not run yet", "Not run yet."
    text = " None: the run has not been made. `python scripts/findings/proxy_tuning.py --rerun`"
    if (STORE / "results.json").is_file():
        results = json.loads((STORE / "results.json").read_text(encoding="utf-8"))
        rows = points(results)
        counted = [held == "yes" for *_, held in rows if held != "void"]
        verdict = "partly reproduced" if any(counted) else "not reproduced"
        verdict = "reproduced" if all(counted) and len(counted) > 2 else verdict
        text, line = result(results, rows), judge(results, verdict, sum(counted))
        (STORE / "sweep.svg").write_text(figure_svg(sweep_figure(results)), encoding="utf-8")
    PAGE.write_text(page(line, text), encoding="utf-8")
    print(f"{PAGE.relative_to(REPO)}: {verdict}")


def main() -> None:
    """Rerun if asked, then redraw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rerun", action="store_true", help="train and measure again first")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="save the four models of seed 1000, and stop")
    args = parser.parse_args()
    if args.models:
        models(args.models)
        return
    if args.rerun:
        rerun()
    redraw()


if __name__ == "__main__":
    main()
