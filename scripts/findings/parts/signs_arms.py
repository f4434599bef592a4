"""The runs of signs.py: a warm-up per task, every arm by `rlvr ablate`, right answers on held-out problems counted."""

import argparse
import json
from pathlib import Path
from typing import Any

from finding import REPO, read_rows, run_tasks

import rlvr
from rlvr.config.settings import EvalConfig
from rlvr.measure.evaluate import evaluate_config
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.training.supervised.warmup import Warmup, warmup

ROWS = REPO / "docs" / "findings" / "signs" / "runs.jsonl"
MAIN = "scripts/findings/parts/same_sum.py"
WEAK = "scripts/findings/parts/split_sum.py"
MAIN_STEPS, WEAK_STEPS = 600, 300
TASKS = {"main": MAIN, "weak": f"{WEAK}(low=1000, high=1999)"}
LENGTHS = {"main": 8, "weak": 24}
UPDATES, LEARNING_RATE = 40, 3e-4
KS = (1, 2, 4, 8, 16, 32, 64, 128)
SEEDS = range(5)
COOL_SEEDS = 2  # seeds of FIRST that are measured at temperature 0.6 too
ARMS = {
    "psr": ("psr", "psr"),
    "nsr": ("nsr", "nsr"),
    "w_reinforce(.1)": ("w_reinforce", "w_reinforce(pos=0.1)"),
    "grpo": ("grpo", "grpo"),
    "reinforce": ("w_reinforce", "reinforce"),
    "w_reinforce(.05)": ("w_reinforce", "w_reinforce(pos=0.05)"),
    "w_reinforce(.3)": ("w_reinforce", "w_reinforce(pos=0.3)"),
    "dr_grpo": ("dr_grpo", "dr_grpo"),
}
FIRST = ("psr", "nsr", "w_reinforce(.1)", "grpo")  # these run first, and alone at temperature 0.6
FOLDERS = {arm: arm.replace("(", "").replace(")", "") for arm in ARMS}  # an arm's name in `rlvr ablate`


def warm(task: str) -> str:
    """Return the folder of the model that was warmed up for a task (cached)."""
    data, steps = {"main": (MAIN, MAIN_STEPS), "weak": (WEAK, WEAK_STEPS)}[task]
    settings = Warmup(
        "tiny", data, steps, batch_size=32, learning_rate=3e-3, tags=("answer",), system_prompt="", bf16=False
    )
    return str(warmup(settings))


def ablation(task: str, arms: list[str], seeds: list[int]) -> dict[str, Any]:
    """Return what `rlvr ablate` is given: these arms from the warmed-up model, the same problems in the same order."""
    common = {
        "model": warm(task), "data": TASKS[task], "tags": ["answer"], "sft_steps": 0, "train_size": 400,
        "eval_size": 0, "max_steps": UPDATES,
        "warmup_steps": 0, "learning_rate": LEARNING_RATE, "per_device_train_batch_size": 128,
        "max_completion_length": LENGTHS[task], "log_rollouts": False, "beta": 0.0,
    }  # fmt: skip
    # The sizes of `tiny` come after the recipe, and over it.
    chosen = {FOLDERS[a]: {"recipes": [ARMS[a][0], "tiny"], "set": {"advantage": ARMS[a][1]}} for a in arms}
    return {"set": common, "arms": chosen, "seeds": seeds}


def after(run: Path) -> dict[str, Any]:
    """Measure a trained arm: at temperature 1, at 0.6 where it is asked for, and its curves of training."""
    folder, seed = run.name.rsplit("-s", 1)
    task = "main" if rlvr.Run(run).config["data"] == MAIN else "weak"
    model, rows = str(run / "model"), read_metrics(RunDir(run).metrics)
    curves = {f"train_{k}": [round(r[k] or 0, 3) for r in rows] for k in ("accuracy", "format_rate", "entropy")}
    found = measure(model, task) | curves
    if task == "main" and folder in [FOLDERS[arm] for arm in FIRST] and int(seed) < COOL_SEEDS:
        found["cool"] = measure(model, task, heat=0.6)
    return found


def measure(model: str, task: str, heat: float = 1.0) -> dict[str, Any]:
    """Return counts per problem (right, different right answers), and means over samples, on held-out problems."""
    n, size = (128, 200) if task == "main" else (16, 100)
    (record,) = evaluate_config(
        model,
        EvalConfig(
            set=TASKS[task], size=size, n=n, temperature=heat, max_completion_length=LENGTHS[task], tags=["answer"],
            system_prompt="", dtype="float32",
        ),
    )  # fmt: skip
    problems = record["problems"]
    samples = [s for p in problems for s in p["samples"]]
    return {
        "n": n,
        "c": [p["c"] for p in problems],
        "distinct": [len({s["answer"] for s in p["samples"] if s["correct"]}) for p in problems],
        "format": round(sum(s["format_ok"] for s in samples) / len(samples), 4),
        "entropy": round(-sum(s["logp"] for s in samples) / sum(s["tokens"] for s in samples), 4),
    }


def rerun(options: argparse.Namespace) -> None:
    """Run everything that runs.jsonl lacks, the comparisons of the criterion first."""
    heats = {"main": (1.0, 0.6), "weak": (1.0,)}
    bases = [{"task": task, "arm": "base", "seed": 0, "heat": heat} for task in TASKS for heat in heats[task]]
    run_tasks(ROWS, bases, lambda task, arm, seed, heat: measure(warm(task), task, heat))
    for task, arms in (("main", FIRST), ("weak", ("nsr",)), ("main", [arm for arm in ARMS if arm not in FIRST])):
        done = {(row["task"], row["arm"], row["seed"]) for row in read_rows(ROWS)}
        missing = [(arm, seed) for seed in SEEDS for arm in arms if (task, arm, seed) not in done]
        if missing:
            train(task, missing, options.jobs)


def train(task: str, missing: list[tuple[str, int]], jobs: int) -> None:
    """Train and measure what is missing and append its rows."""
    arms, seeds = ([*dict.fromkeys(part)] for part in zip(*missing, strict=True))
    out = REPO / "runs" / f"finding-signs-{task}"
    found = rlvr.ablate(ablation(task, arms, seeds), out, jobs=jobs, measure=after)
    assert found is not None
    with ROWS.open("a", encoding="utf-8") as lines:
        for arm, seed in missing:
            values = found.measured(FOLDERS[arm], seed)
            if not values:
                raise SystemExit(f"{arm}, seed {seed}, was not measured: see {out}/report.md.")
            cool, seconds = (
                values.pop("cool", None),
                read_metrics(RunDir(out / "runs" / f"{FOLDERS[arm]}-s{seed}").metrics),
            )
            for heat, one in ((1.0, values), (0.6, cool)):
                if one is not None:
                    row = {"task": task, "arm": arm, "seed": seed, "heat": heat, **one}
                    lines.write(json.dumps(row | {"seconds": seconds[-1]["seconds"]}, separators=(",", ":")) + "\n")
