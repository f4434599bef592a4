"""Finding: a student that chooses among rewrites learns more than from all of them (2402.10110, notes section 5).

    python scripts/findings/student_selected.py            redraw from the committed results
    python scripts/findings/student_selected.py --rerun    run the experiment first (about 8 minutes of one core)

A rule-based teacher rewrites worked additions and subtractions; some rewrites are planted to be bad. A student of the
`tiny` family, pretrained on additions in both directions (question -> reply, reply -> question), scores the candidates
with `rlvr.select` and is trained on what each arm chooses. The criterion, in
pages/student_selected.md, was committed before the run.
"""

import argparse
import copy
import json
import random
from functools import cache
from typing import Any

import numpy as np
import torch
from finding import REPO, Finding, Page, Point, lines, name_points, run_all_again
from sklearn.metrics import roc_auc_score

from rlvr.core.files import write_whole
from rlvr.core.parse import parse, render
from rlvr.measure.evaluate import make_engine
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.bootstrap import bootstrap_mean
from rlvr.measure.plots.style import GREY, look, new_figure, styled
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny
from rlvr.models.sampling import Sampling
from rlvr.select.ifd import GUESS, PairScore, score_pairs
from rlvr.select.nll import answer_nll
from rlvr.select.student import Pair, StudentSelector, candidates, decide, mismatched

RESULTS = REPO / "docs" / "findings" / "student_selected" / "results.json"
SEEDS = 5
ROWS, TEST = 100, 60
PRETRAIN_STEPS, STEPS, BATCH = 450, 40, 16
PRETRAIN_RATE, RATE = 2e-3, 1e-3
TAGS = ("think", "answer")
ARMS = (
    "original", "all_teacher", "random", "ifd_only", "student", "released", "shuffled", "other_student",
)  # fmt: skip
DIGITS = range(1, 10)
GOOD, BAD = ("sound",), ("verbose_wrong", "irrelevant")


# The teacher


def problem(draw: random.Random, op: str) -> tuple[int, str, int]:
    """Return a digit, an operation and a digit."""
    return draw.choice(DIGITS), op, draw.choice(DIGITS)


def value(a: int, op: str, b: int) -> int:
    """Return a + b or a - b."""
    return a + b if op == "+" else a - b


def sloppy(p: tuple[int, str, int]) -> str:
    """The wording of the original rows."""
    return f"pls {p[0]} {'and' if p[1] == '+' else 'less'} {p[2]} thx"


def clear(p: tuple[int, str, int]) -> str:
    """The wording of a clearer instruction, and of the test."""
    return f"{p[0]} {p[1]} {p[2]}?"


def terse(p: tuple[int, str, int]) -> str:
    """The reply of the original rows: no working."""
    return render("", str(value(*p)), tags=TAGS)


def working(p: tuple[int, str, int]) -> str:
    """A sound reply: the working, then the answer."""
    return render(f"{p[0]}{p[1]}{p[2]}={value(*p)}", str(value(*p)), tags=TAGS)


def harder(p: tuple[int, str, int], c: int) -> tuple[str, str, str]:
    """Return a harder instruction (one more term), its terse and its worked reply."""
    first, total = value(*p), value(value(*p), p[1], c)
    steps = f"{p[0]}{p[1]}{p[2]}={first}, {first}{p[1]}{c}={total}"
    return f"{p[0]} {p[1]} {p[2]} {p[1]} {c}?", render("", str(total), tags=TAGS), render(steps, str(total), tags=TAGS)


def bad_reply(kind: str, p: tuple[int, str, int], draw: random.Random) -> str:
    """Return a wordy working with a slip in the result, or the sound working of another problem."""
    if kind == "irrelevant":
        other = problem(draw, p[1])
        return working(other if other != p else (p[0] + 1, *p[1:]))
    wrong = value(*p) + draw.choice((-3, -2, 2, 3))
    return render(f"so, {p[0]}{p[1]}{p[2]} is {wrong}, yes, {wrong}", str(wrong), tags=TAGS)


def teach(problems: list[tuple[int, str, int]], draw: random.Random) -> list[dict[str, Any]]:
    """Return rows with all three rewrites; half of the rewritten replies are planted to be bad (`kind` says which)."""
    rows = []
    for i, p in enumerate(problems):
        kind = draw.choice((*GOOD, *GOOD, *BAD))
        if draw.random() < 0.5:
            question, short, long = clear(p), terse(p), working(p)
        else:
            question, short, long = harder(p, draw.choice(DIGITS))
        rows.append({
            "id": str(i), "prompt": sloppy(p), "completion": terse(p), "kind": kind,
            "rewrites": {
                "instruction": {"prompt": question, "completion": short},
                "response": {"completion": working(p) if kind in GOOD else bad_reply(kind, p, draw)},
                "both": {"completion": long if kind in GOOD else bad_reply(kind, p, draw)},
            },
        })  # fmt: skip
    return rows


# The student


@cache
def pretrain(op: str, seed: int):
    """Return a small student that knows one operation somewhat, in both directions, and texts without a partner."""
    model, tokenizer = build_tiny(seed=seed, hidden=128, layers=2)
    draw, pairs = random.Random(seed), []
    while len(pairs) < PRETRAIN_STEPS * BATCH:
        p = problem(draw, op)
        ask = draw.choice((sloppy, clear))(p)
        reply = (terse if draw.random() < 0.2 else working)(p)
        if draw.random() < 0.2:
            ask, _, reply = harder(p, draw.choice(DIGITS))
        way = draw.random()
        if way < 0.25:
            ask, reply = GUESS.format(reply=reply), ask
        elif way < 0.3:
            ask = ""
        elif way < 0.35:
            ask, reply = GUESS.format(reply=""), ask
        pairs.append(([{"role": "user", "content": ask}], reply))
    fit(model, tokenizer, pairs, PRETRAIN_STEPS, PRETRAIN_RATE, seed)
    return model, tokenizer


def fit(model, tokenizer, pairs: list[Pair], steps: int, rate: float, seed: int) -> int:
    """Train on replies only, `steps` updates, passing over the pairs in random order; return the reply tokens seen."""
    draw, order, tokens = random.Random(seed), [], 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1) / 10) * (1 - s / steps))
    contexts = encode(tokenizer, [chat for chat, _ in pairs])
    replies = [
        [*ids, tokenizer.eos_token_id] for ids in tokenizer([r for _, r in pairs], add_special_tokens=False).input_ids
    ]
    model.train()
    for _ in range(steps):
        if len(order) < BATCH:
            order += draw.sample(range(len(pairs)), len(pairs))
        batch, order = order[:BATCH], order[BATCH:]
        ids = [torch.tensor(contexts[i] + replies[i]) for i in batch]
        labels = [torch.tensor([-100] * len(contexts[i]) + replies[i]) for i in batch]
        pad = torch.nn.utils.rnn.pad_sequence
        tokens += sum(len(replies[i]) for i in batch)
        # No mask: padding stands on the right of causal attention, and its labels are ignored.
        loss = model(input_ids=pad(ids, True), labels=pad(labels, True, -100)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    return tokens


def measure(model, tokenizer, problems: list[tuple[int, str, int]]) -> dict[str, float]:
    """Return the greedy exact match, and the loss of the sound working (nats per token)."""
    prompts = encode(tokenizer, [[{"role": "user", "content": clear(p)}] for p in problems])
    engine = make_engine(model, tokenizer)
    engine.refresh()
    texts = tokenizer.batch_decode(engine.generate(prompts, 1, Sampling(40, 0.0), 0).ids, skip_special_tokens=True)
    right = [parse(text, TAGS).answer == str(value(*p)) for text, p in zip(texts, problems, strict=True)]
    nll = answer_nll(model, prompts, tokenizer([working(p) for p in problems], add_special_tokens=False).input_ids)
    return {"exact": float(np.mean(right)), "loss": float(nll.mean())}


# The arms


def choose(arm: str, rows: list[dict[str, Any]], scores: list[dict[str, PairScore | None]], seed: int) -> list[Pair]:
    """Return the training pairs of an arm; `scores` are the student's (the other student's for "other_student")."""
    pairs = [candidates(row) for row in rows]
    draw = random.Random(seed)
    if arm == "shuffled":
        return mismatched([p["original"] for p in pairs], seed)
    if arm in ("original", "all_teacher", "random"):
        name = {"original": "original", "all_teacher": "both"}.get(arm)
        return [p[name or draw.choice(list(p))] for p in pairs]
    chosen = []
    for pair, score in zip(pairs, scores, strict=True):
        known = {name: s for name, s in score.items() if s}
        if arm == "ifd_only":
            sound = [name for name, s in known.items() if s.ifd < 1]
            best = max(sound, key=lambda name: known[name].ifd) if sound else None
        else:
            best = decide(score, "drop" if arm == "released" else "keep").kept
        chosen += [] if best is None else [pair[best]]
    return chosen


def replicate(seed: int) -> dict[str, Any]:
    """Return the results of one seed: every arm's measures, and what the scores tell of the planted rewrites."""
    torch.manual_seed(0)
    students = {op: pretrain(op, 10_000) for op in "+-"}
    draw = random.Random(seed)
    every = [(a, op, b) for a in DIGITS for op in "+-" for b in DIGITS]
    draw.shuffle(every)
    test, train = every[:TEST], every[TEST : TEST + ROWS]
    rows = teach(train, draw)
    model, tokenizer = students["+"]
    scores = {}
    for op, (judge, _) in students.items():
        scores[op] = StudentSelector(lambda pairs, judge=judge: score_pairs(judge, tokenizer, pairs)).fit(rows).scores_
    shuffled = [
        s.ifd for s in score_pairs(model, tokenizer, mismatched([candidates(r)["original"] for r in rows])) if s
    ]
    out: dict[str, Any] = {
        "before": measure(model, tokenizer, test),
        "shuffled_ifd": float(np.median(shuffled)),
        "original_ifd": float(np.median([s["original"].ifd for s in scores["+"]])),
        "auroc": {kind: planted(rows, scores["+"], kind) for kind in BAD},
        "arms": {},
    }
    for arm in ARMS:
        pairs = choose(arm, rows, scores["-" if arm == "other_student" else "+"], seed)
        if len(pairs) < BATCH:
            out["arms"][arm] = {"rows": len(pairs), "tokens": 0, **out["before"]}
            continue
        student = copy.deepcopy(model)
        tokens = fit(student, tokenizer, pairs, STEPS, RATE, seed)
        out["arms"][arm] = {"rows": len(pairs), "tokens": tokens, **measure(student, tokenizer, test)}
    decisions = {"student": "keep", "released": "drop"}
    out["kept"] = {
        arm: {kind: replaced([s for r, s in zip(rows, scores["+"], strict=True) if r["kind"] == kind], rule)
              for kind in (*GOOD, *BAD)}
        for arm, rule in decisions.items()
    }  # fmt: skip
    return out


def replaced(scores: list[dict[str, PairScore | None]], unimproved: str) -> float:
    """Return the share of rows whose reply the rule replaced by the rewritten one."""
    return float(np.mean([decide(s, unimproved).kept in ("response", "both") for s in scores]))


def planted(rows: list[dict[str, Any]], scores: list[dict[str, PairScore | None]], kind: str) -> float:
    """Return the AUROC of "this rewritten reply is bad" by r-IFD(rewritten) - r-IFD(base), bad `kind` against sound."""
    worse, bad = [], []
    for row, score in zip(rows, scores, strict=True):
        for base, rewritten in (("original", "response"), ("instruction", "both")):
            if row["kind"] in (*GOOD, kind) and score[base] and score[rewritten]:
                worse.append(score[rewritten].rifd - score[base].rifd)
                bad.append(row["kind"] == kind)
    return float(roc_auc_score(bad, worse))


def rerun(options: argparse.Namespace) -> None:
    """Run every seed and store what was measured."""
    tasks = [{"seed": seed} for seed in range(SEEDS)]
    with run_all_again(REPO / "runs" / "finding-student_selected", tasks, replicate, options.jobs) as rows:
        seeds = [{name: value for name, value in one.items() if name not in ("seed", "seconds")} for one in rows]
        seconds = round(sum(one["seconds"] for one in rows), 1)
        write_whole(RESULTS, json.dumps({"seeds": seeds, "seconds": seconds}))


# Reading the results


def arm(results: dict[str, Any], name: str, measure: str) -> np.ndarray:
    """Return one number per seed."""
    return np.array([seed["arms"][name][measure] for seed in results["seeds"]])


def difference(results: dict[str, Any], a: str, b: str, measure: str = "exact") -> Interval:
    """Return the paired interval of mean(a - b) over seeds."""
    return bootstrap_mean(arm(results, a, measure) - arm(results, b, measure))


def judge(results: dict[str, Any]) -> list[Point]:
    """Return each point of the criterion."""
    teacher, shuffled = difference(results, "student", "all_teacher"), difference(results, "student", "shuffled")
    other = difference(results, "other_student", "student")
    fewer = (arm(results, "student", "rows") <= arm(results, "all_teacher", "rows")).all()
    found = {kind: bootstrap_mean([s["auroc"][kind] for s in results["seeds"]]) for kind in BAD}
    ifd = bootstrap_mean([s["shuffled_ifd"] for s in results["seeds"]])
    return [
        Point(
            "1. student - all-teacher, no more rows",
            str(teacher),
            bool(teacher.high >= 0 and teacher.value >= 0 and fewer),
        ),
        Point("2. student - shuffled", str(shuffled), shuffled.low > 0),
        Point("3. AUROC of irrelevant rewrites", str(found["irrelevant"]), found["irrelevant"].low > 0.8),
        Point("4. AUROC of verbose wrong rewrites", str(found["verbose_wrong"]), found["verbose_wrong"].low > 0.8),
        Point("5. median IFD of shuffled pairs", str(ifd), ifd.value >= 1),
        Point("6. other student - student", str(other), other.high < 0),
    ]


@styled
def plot_arms(results: dict[str, Any]):
    """Draw exact match and loss of every arm, a dot per seed and the mean with its interval."""
    fig = new_figure(3.2)
    axes = fig.subplots(1, 2, sharey=True)
    for ax, (name, label) in zip(
        axes, {"exact": "exact match", "loss": "loss of the sound working, nats per token"}.items(), strict=True
    ):
        before = np.mean([s["before"][name] for s in results["seeds"]])
        ax.axvline(before, color=GREY, linestyle=":", linewidth=1)
        for i, which in enumerate(ARMS):
            values = arm(results, which, name)
            interval = bootstrap_mean(values)
            colour, _ = look(1 if which in ("student", "released") else 0)
            ax.plot(values, np.full(len(values), i), ".", color=colour, alpha=0.35, markersize=5)
            ax.hlines(i, interval.low, interval.high, color=colour)
            ax.plot(interval.value, i, "D", color=colour, markersize=5)
        ax.set(xlabel=label)
    axes[1].set_xscale("log")
    axes[0].set_yticks(range(len(ARMS)), [which.replace("_", " ") for which in ARMS])
    axes[0].invert_yaxis()
    return fig


def page(results: dict[str, Any]) -> Page:
    """Return what the results say."""

    def mean(name: str, measure: str) -> Interval:
        return bootstrap_mean(arm(results, name, measure))

    arms = [
        (name.replace("_", " "), mean(name, "exact"), mean(name, "loss"),
         *(f"{arm(results, name, count).mean():.0f}" for count in ("rows", "tokens")))
        for name in ARMS
    ]  # fmt: skip
    kept = [
        (kind.replace("_", " "),
         *(bootstrap_mean([s["kept"][rule][kind] for s in results["seeds"]]) for rule in ("student", "released")))
        for kind in (*GOOD, *BAD)
    ]  # fmt: skip
    names = (
        "as good as all rewrites with fewer rows", "better than shuffled pairs", "finds irrelevant rewrites",
        "finds wordy wrong rewrites", "shuffled pairs score an IFD of 1", "the choice belongs to the student",
    )  # fmt: skip
    points = judge(results)
    values = {
        "SEEDS": SEEDS, "BATCH": BATCH, "TEST": TEST, "ROWS": ROWS, "PRETRAIN_STEPS": PRETRAIN_STEPS, "STEPS": STEPS,
        "seconds": results["seconds"], "before": bootstrap_mean([s["before"]["exact"] for s in results["seeds"]]),
        "original": bootstrap_mean([s["original_ifd"] for s in results["seeds"]]),
        "arms": lines(arms), "kept": lines(kept),
    }  # fmt: skip
    return Page(points, name_points(names, points), {"arms.svg": plot_arms(results)}, values)


FINDING = Finding("student_selected", lambda: json.loads(RESULTS.read_text(encoding="utf-8")), page, rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
