"""Finding: a student that chooses among rewrites learns more than from all of them (2402.10110, notes section 5).

    python scripts/findings/student_selected.py            redraw from the committed results
    python scripts/findings/student_selected.py --rerun    run the experiment first (about 8 minutes of one core)

A rule-based teacher rewrites worked additions and subtractions; some rewrites are planted to be bad. A student of the
`tiny` family, pretrained on additions in both directions (question -> reply, reply -> question), scores the candidates
with `rlvr.select` and is trained on what each arm chooses. The criterion was committed before the run.
"""

import argparse
import copy
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parts.verdict import verdict_lines
from sklearn.metrics import roc_auc_score

from rlvr.core.parse import parse, render
from rlvr.measure.evaluate import make_engine
from rlvr.measure.metrics import Interval
from rlvr.measure.metrics.bootstrap import bootstrap_mean
from rlvr.measure.plots.style import GREY, figure_svg, look, new_figure, styled
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny
from rlvr.models.sampling import Sampling
from rlvr.select.ifd import GUESS, PairScore, score_pairs
from rlvr.select.nll import answer_nll
from rlvr.select.student import Pair, StudentSelector, candidates, decide, mismatched

REPO = Path(__file__).parents[2]
STORE = REPO / "docs" / "findings" / "student_selected"
PAGE = STORE.with_suffix(".md")

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

CRITERION = f"""\
All intervals are 95%, by bootstrap over {SEEDS} seeds, of paired differences; every arm starts from the same student
and takes the same number of updates of {BATCH} rows; exact match is greedy, on {TEST} problems that no row holds, in
the clear wording.

1. student-selected - all-teacher, exact match: the interval is not below 0, the mean is at least 0, with no more rows;
2. student-selected - shuffled pairs, exact match: above 0;
3. the rule's own comparison (r-IFD of a rewritten reply minus that of the reply it would replace) tells irrelevant
   rewrites from sound ones: AUROC above 0.8;
4. the same for verbose wrong ones: AUROC above 0.8;
5. shuffled pairs score a median IFD of at least 1;
6. selected by another student (pretrained on subtractions) - student-selected, exact match: below 0.

Reproduced: all six. Partly: some. Not: none."""

NOTE = """\
How the student was settled, before any selection was scored: two-digit numbers, and students of width 64, did not learn
to copy an operand within minutes (greedy match at most 0.08 on additions after 300 to 600 steps); width 128 with single
digits did (0.52 after 300). Those pilots looked at the pretrained student and its original arm, no other arm. The whole
script was tried once on students of 3 pretraining steps, which know nothing, to see that it runs."""


HEAD = f"""\
**Claim** (2402.10110). Of a teacher's rewrites, those that the student itself finds harder to answer (IFD) and better
tied to their question (r-IFD) teach it more than all of them, and the choice belongs to the student.

**Design.** Rows: {ROWS} additions and subtractions of two digits, in a sloppy wording, answered without working. The
teacher offers a clearer or a harder instruction (half each) and a rewritten reply: sound working (half), a wordy
working with a slip (a quarter), the working of another problem (a quarter). Student: the `tiny` family (2 layers of
128), pretrained for {PRETRAIN_STEPS} steps on additions, question to reply and reply to question; another student saw
subtractions instead. Every arm starts from the same student and takes {STEPS} updates of {BATCH} rows. "student" is the
paper's rule (`unimproved="keep"`), "released" that of its code (`"drop"`). {SEEDS} seeds, each with its own split of
the 162 problems into rows and test, its own rewrites and order; the two students are pretrained once. Pretraining knows
the additions of the test; its subtractions are new to the student.

{NOTE}

**Criterion, committed before the run.**

{CRITERION}"""


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


def replicate(students: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the results of one seed: every arm's measures, and what the scores tell of the planted rewrites."""
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


# Reading the results


def arm(results: dict[str, Any], name: str, measure: str) -> np.ndarray:
    """Return one number per seed."""
    return np.array([seed["arms"][name][measure] for seed in results["seeds"]])


def difference(results: dict[str, Any], a: str, b: str, measure: str = "exact") -> Interval:
    """Return the paired interval of mean(a - b) over seeds."""
    return bootstrap_mean(arm(results, a, measure) - arm(results, b, measure))


def verdicts(results: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return (claim, number, held) for each point of the criterion."""
    teacher, shuffled = difference(results, "student", "all_teacher"), difference(results, "student", "shuffled")
    other = difference(results, "other_student", "student")
    fewer = (arm(results, "student", "rows") <= arm(results, "all_teacher", "rows")).all()
    found = {kind: bootstrap_mean([s["auroc"][kind] for s in results["seeds"]]) for kind in BAD}
    ifd = bootstrap_mean([s["shuffled_ifd"] for s in results["seeds"]])
    return [
        (
            "1. student - all-teacher, no more rows",
            str(teacher),
            bool(teacher.high >= 0 and teacher.value >= 0 and fewer),
        ),
        ("2. student - shuffled", str(shuffled), shuffled.low > 0),
        ("3. AUROC of irrelevant rewrites", str(found["irrelevant"]), found["irrelevant"].low > 0.8),
        ("4. AUROC of verbose wrong rewrites", str(found["verbose_wrong"]), found["verbose_wrong"].low > 0.8),
        ("5. median IFD of shuffled pairs", str(ifd), ifd.value >= 1),
        ("6. other student - student", str(other), other.high < 0),
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


def redraw() -> None:
    """Write the page and its figure from the stored results; without results, a page that says so."""
    if not (STORE / "results.json").is_file():
        PAGE.write_text(f"# Student-selected rewrites: not run yet\n\n{HEAD}\n", encoding="utf-8")
        print(f"{PAGE.relative_to(REPO)}: no results yet, run with --rerun")
        return
    results = json.loads((STORE / "results.json").read_text(encoding="utf-8"))
    points = verdicts(results)
    held = sum(ok for *_, ok in points)
    verdict = "reproduced" if held == len(points) else "not reproduced" if not held else "partly reproduced"
    (STORE / "arms.svg").write_text(figure_svg(plot_arms(results)), encoding="utf-8")
    rows = "\n".join(f"| {claim} | {number} | {'yes' if ok else 'no'} |" for claim, number, ok in points)
    arms = "\n".join(
        f"| {name.replace('_', ' ')} | {bootstrap_mean(arm(results, name, 'exact'))} | "
        f"{bootstrap_mean(arm(results, name, 'loss'))} | {arm(results, name, 'rows').mean():.0f} | "
        f"{arm(results, name, 'tokens').mean():.0f} |"
        for name in ARMS
    )
    kept = "\n".join(
        f"| {kind.replace('_', ' ')} | " + " | ".join(
            str(bootstrap_mean([s["kept"][which][kind] for s in results["seeds"]])) for which in ("student", "released")
        ) + " |"
        for kind in (*GOOD, *BAD)
    )  # fmt: skip
    names = (
        "as good as all rewrites with fewer rows", "better than shuffled pairs", "finds irrelevant rewrites",
        "finds wordy wrong rewrites", "shuffled pairs score an IFD of 1", "the choice belongs to the student",
    )  # fmt: skip
    line = verdict_lines(
        {name: bool(ok) for name, (*_, ok) in zip(names, points, strict=True)},
        f"By the criterion below: {verdict}, {held} of {len(points)} points.",
    )
    before = bootstrap_mean([s["before"]["exact"] for s in results["seeds"]])
    original = bootstrap_mean([s["original_ifd"] for s in results["seeds"]])
    PAGE.write_text(
        f"""# Student-selected rewrites

{line}

{HEAD}

**Result.** `make findings RERUN=1`; {results["seconds"]:.0f} s on one core beside other work. Before any arm the
student solved {before} of the test problems.

| point | number [95%] | held |
|---|---|---|
{rows}

| arm | exact match | loss | rows | reply tokens seen |
|---|---|---|---|---|
{arms}

![exact match and loss of every arm](student_selected/arms.svg)

Share of rows whose reply the rule replaced by the rewritten one:

| rewritten reply | student | released |
|---|---|---|
{kept}

Median IFD of the original pairs: {original}.

**Limits.** r-IFD asks whether a reply tells its question, not whether it is right: a slip behind the right operands
may tell it as well as sound working does. The student is far smaller than any in the paper, one pretraining stands for
all, and it knows two wordings; the teacher is a rule. Verifying the answer would find every planted slip here, and
should be done first where it can be. An interval over {SEEDS} seeds is rough.

**What would change it.** A pretrained student (SmolLM2-135M), free-form rewrites by a language model, more seeds.

Redraw: `make findings`. Run again: `make findings RERUN=1`.
""",
        encoding="utf-8",
    )
    print(f"{PAGE.relative_to(REPO)}: {verdict}, {held} of {len(points)}")


def main() -> None:
    """Rerun if asked, then redraw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rerun", action="store_true", help="run the experiment first")
    if parser.parse_args().rerun:
        start = time.time()
        torch.manual_seed(0)
        students = {op: pretrain(op, 10_000) for op in "+-"}
        results: dict[str, Any] = {"seeds": []}
        for seed in range(SEEDS):
            results["seeds"].append(replicate(students, seed))
        results["seconds"] = round(time.time() - start, 1)
        STORE.mkdir(parents=True, exist_ok=True)
        (STORE / "results.json").write_text(json.dumps(results), encoding="utf-8")
    redraw()


if __name__ == "__main__":
    main()
