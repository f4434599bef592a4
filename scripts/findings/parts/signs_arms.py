"""The arms of signs.py: warm up once, train every arm with the product in this process, count right answers.

One line of runs.jsonl per run, appended as it ends; a run that is there is skipped.
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from rlvr.config.recipe_files import read_recipes
from rlvr.config.settings import EvalConfig, TrainConfig, build_config
from rlvr.measure.evaluate import evaluate_config
from rlvr.planning.resolve import plan
from rlvr.runs.directory import read_metrics
from rlvr.train import train
from rlvr.training.supervised.warmup import Warmup, warmup

REPO = Path(__file__).parents[3]
MAIN = "scripts/findings/parts/same_sum.py"
WEAK = "scripts/findings/parts/split_sum.py"
MAIN_STEPS = 600
WEAK_TASK, WEAK_STEPS = f"{WEAK}(low=1000, high=1999)", 300
UPDATES, LEARNING_RATE, PROBLEMS, N = 40, 3e-4, 200, 128
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
TAGS = ["answer"]


def warm(data: str, steps: int) -> str:
    """Return the folder of the model that was warmed up on `data` (cached)."""
    settings = Warmup(
        "tiny", data, steps, batch_size=32, learning_rate=3e-3, tags=("answer",), system_prompt="", bf16=False
    )
    return str(warmup(settings))


def train_arm(model: str, data: str, arm: str, seed: int, length: int, out: Path) -> str:
    """Train one arm as `rlvr train` does and return its run directory."""
    recipe, advantage = ARMS[arm]
    settings = read_recipes([recipe, "tiny"]) | {
        "advantage": advantage, "model": model, "data": data, "tags": TAGS, "sft_steps": 0, "train_size": 400,
        "eval_size": 0, "max_steps": UPDATES, "learning_rate": LEARNING_RATE, "per_device_train_batch_size": 128,
        "max_completion_length": length, "log_rollouts": False, "seed": seed, "output_dir": str(out), "beta": 0.0,
    }  # fmt: skip
    train(plan(build_config(TrainConfig, settings)), [recipe, "tiny"], ["rlvr", "train", "(signs.py)"])
    return str(out)


def measure(model: str, data: str, length: int, n: int = N, size: int = PROBLEMS, heat: float = 1.0) -> dict[str, Any]:
    """Return counts per problem (right, different right answers), and means over samples, on held-out problems."""
    (record,) = evaluate_config(
        model,
        EvalConfig(
            set=data, size=size, n=n, temperature=heat, max_completion_length=length, tags=TAGS, system_prompt="",
            dtype="float32",
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


def run(store: Path) -> None:
    """Run everything that runs.jsonl lacks, the comparisons of the criterion first."""
    os.chdir(REPO)  # the warm-ups are cached under the relative name of their problem set
    store.mkdir(parents=True, exist_ok=True)
    file = store / "runs.jsonl"
    done = {(r["task"], r["arm"], r["seed"], r["heat"]) for r in load(store)}
    order = [("main", arm, s) for s in SEEDS for arm in FIRST] + [("weak", "nsr", s) for s in SEEDS]
    order += [("main", arm, s) for arm in ARMS if arm not in FIRST for s in SEEDS]
    for task, arm, seed in [("main", "base", 0), ("weak", "base", 0), *order]:
        main = task == "main"
        heats = [1.0, 0.6] if main and (arm == "base" or (arm in FIRST and seed < COOL_SEEDS)) else [1.0]
        if all((task, arm, seed, heat) in done for heat in heats):
            continue
        start, data, length = time.time(), MAIN if main else WEAK_TASK, 8 if main else 24
        model = warm(MAIN, MAIN_STEPS) if main else warm(WEAK, WEAK_STEPS)
        folder = Path(tempfile.mkdtemp(prefix="signs-"))
        path: dict[str, Any] = {}
        if arm != "base":
            out = train_arm(model, data, arm, seed, length, folder / "run")
            model = f"{out}/model"
            rows = read_metrics(Path(out) / "metrics.jsonl")
            path = {f"train_{k}": [round(r[k] or 0, 3) for r in rows] for k in ("accuracy", "format_rate", "entropy")}
        for heat in heats:
            found = measure(model, data, length, *(() if main else (16, 100)), heat=heat)
            row = {"task": task, "arm": arm, "seed": seed, "heat": heat, **found}
            row |= {"seconds": round(time.time() - start, 1)} | (path if heat == 1.0 else {})
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row, separators=(",", ":")) + "\n")
        shutil.rmtree(folder)
        print(f"{task} {arm} {seed}: {time.time() - start:.0f} s", flush=True)


def load(store: Path) -> list[dict[str, Any]]:
    """Return the stored runs; none where the file is missing."""
    file = store / "runs.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
