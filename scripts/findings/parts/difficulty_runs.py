"""The runs of near_impossible.py: one warm-up, one profile, then one short training per arm and seed, in process."""

import contextlib
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parts.difficulty_cells import CELLS, MIXED, measured, steps_ok

from rlvr.config.settings import TrainConfig, build_config
from rlvr.core.records import Completion, Problem
from rlvr.measure.sample import Policy, make_engine, sample
from rlvr.models.load import load_model
from rlvr.models.sampling import Sampling
from rlvr.planning.resolve import plan
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import load_problems
from rlvr.problems.verifier import Verifier
from rlvr.runs.directory import read_metrics
from rlvr.train import train
from rlvr.training.answer_metrics import repetition
from rlvr.training.supervised.warmup import Warmup, warmup

TASK = "scripts/findings/parts/difficulty_cells.py"  # relative: it names the cached warm-up in every clone
TAGS = ("think", "answer")
SEEDS = range(5)
SPACES, NORMS = ("small", "large"), ("grpo", "dr_grpo")
STEPS, EVERY, LENGTH = 12, 3, 56  # updates, updates between checkpoints, tokens
TRAIN, N = 64, 8  # training problems, samples of each measured problem
POOLS, K = {"train": 600, "test": 320}, 16  # problems profiled per space, samples of each
WARM = Warmup("tiny", TASK, 400, 32, 3e-3, 900, 0, TAGS, "", bf16=False)
SETTINGS: dict[str, Any] = {
    "tags": list(TAGS), "system_prompt": "", "train_size": TRAIN, "eval_size": 0, "max_steps": STEPS, "bf16": False,
    "per_device_train_batch_size": 64, "gradient_accumulation_steps": 1, "num_generations": 8, "learning_rate": 5e-5,
    "lr_scheduler_type": "constant", "max_completion_length": LENGTH, "rewards": {"correct": 1.0},
    "log_rollouts": False,
}  # fmt: skip
STEPWISE = ("small/H0/grpo", "small/Hlow/grpo")
MIXTURES: dict[str, dict[str, Any]] = {
    "none": {},
    "drop_zero_signal": {"advantage": "grpo, drop_zero_signal"},
    "drop_near_impossible": {"advantage": "grpo, drop_near_impossible(threshold=0.15)", "profile_n": K},
    "band": {"difficulty_band": [0.2, 0.8], "difficulty_floor": 0.05, "profile_n": K},
    "rewritten": {},
}


def arms() -> dict[str, dict[str, Any]]:
    """Return arm -> what it sets, the ones that the criterion needs most first."""
    found: dict[str, dict[str, Any]] = {}

    def cells(space: str, norms: Sequence[str] = NORMS) -> None:
        for norm in norms:
            for cell in CELLS:
                data = f"{TASK}(space='{space}', cell='{cell}')"
                found[f"{space}/{cell}/{norm}"] = {"data": data, "advantage": norm}

    cells("small")
    for name, settings in MIXTURES.items():
        cell = "rewritten" if name == "rewritten" else "mixture"
        found[f"mixture/{name}"] = {"data": f"{TASK}(space='small', cell='{cell}')", "advantage": "grpo"} | settings
    cells("large", norms=("grpo",))  # Dr. GRPO in the large space was cut for time before the main run
    # Added after the results were seen, to ask whether momentum alone explains the harm where luck is next to nothing.
    found["large/H0/no_momentum"] = found["large/H0/grpo"] | {"adam_beta1": 0.0}
    return found


def profile(path: Path) -> None:
    """Store right answers of 16 for each training and held-out problem of both spaces, by the warmed-up model."""
    torch.set_num_threads(1)  # the runs are forks of this process
    stored: dict[str, dict[str, dict[str, int]]] = {}
    for space in SPACES:
        stored[space] = {}
        for split, size in POOLS.items():
            problems = load_problems(f"{TASK}(space='{space}')", split, size, 0)
            records = _sample(str(warmup(WARM)), problems, K, seed=1)
            right = np.array([c.correct is True for c in records]).reshape(-1, K).sum(1)
            stored[space][split] = {p.id: int(c) for p, c in zip(problems, right, strict=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, separators=(",", ":")), encoding="utf-8")


def run(path: Path, names: Sequence[str], seeds: Sequence[int]) -> None:
    """Train and measure every arm with every seed that `path` does not hold yet, appending a line for each."""
    done = {(row["arm"], row["seed"]) for row in read(path)}
    todo = [(f"base/{space}", 0) for space in SPACES] + [(arm, seed) for arm in names for seed in seeds]
    for arm, seed in todo:
        if (arm, seed) in done:
            continue
        # In a fork: nothing of one run is left for the next, and a fresh process would load for seconds.
        child = multiprocessing.get_context("fork").Process(target=_one, args=(path, arm, seed))
        child.start()
        child.join()
        if child.exitcode:
            raise RuntimeError(f"{arm}, seed {seed}, failed; its message stands above.")


def _one(path: Path, arm: str, seed: int) -> None:
    """Train and measure one arm with one seed and append its line."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    if arm.startswith("base/"):
        row = {"arm": arm, "seed": seed, "after": measure(str(warmup(WARM)), arm.removeprefix("base/"))}
    else:
        row = {"arm": arm, "seed": seed} | _train(arm, seed)
    row["seconds"] = round(time.perf_counter() - began, 1)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, separators=(",", ":")) + "\n")
    print(f"{arm} {seed}: {row['seconds']} s", flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the stored rows; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _train(arm: str, seed: int) -> dict[str, Any]:
    settings = SETTINGS | {"model": str(warmup(WARM)), "seed": seed} | arms()[arm]
    stepwise = arm in STEPWISE
    settings |= {"save_strategy": "steps", "save_steps": EVERY, "save_only_model": True} if stepwise else {
        "save_strategy": "no"
    }  # fmt: skip
    space = "large" if arm.startswith("large") else "small"
    folder = Path(tempfile.mkdtemp(prefix="near-"))
    try:
        settings["output_dir"] = str(folder / "run")
        with (folder / "log").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            done = train(plan(build_config(TrainConfig, settings)), [], ["near_impossible.py", arm])
        row = {"after": measure(str(done.model), space), "train": _curves(read_metrics(done.metrics))}
        if stepwise:
            at = range(EVERY, STEPS, EVERY)
            row["steps"] = {str(s): measure(str(done.checkpoints / f"checkpoint-{s}"), space) for s in at}
        return row
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _curves(lines: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    names = ("accuracy", "groups/mixed", "grad_norm", "kept", "completions/mean_length")
    lines = [line for line in lines if "accuracy" in line]

    def short(value: Any) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    return {name: [short(line.get(name)) for line in lines] for name in names}


def measure(model: str, space: str) -> dict[str, Any]:
    """Return right answers per measured problem (`measured`) and behaviour on the mixed held-out ones."""
    problems = load_problems(f"{TASK}(space='{space}')", "test", POOLS["test"], 0)
    everything = _sample(model, [problems[i] for i in measured(space)], N, seed=1234)
    right_PN = np.array([c.correct is True for c in everything]).reshape(-1, N)
    records = everything[: MIXED * N]
    right = np.array([c.correct is True for c in records])
    judged = [steps_ok(c.text) for c in records]
    wrong_step = np.array([ok is False for ok in judged])
    found = {
        "repetition": repetition(records, N),
        "skipping": np.mean([ok is None for ok in judged]),
        "unfaithful": (right & wrong_step).sum() / max(1, right.sum()),
        "equations": np.mean([c.text.count("=") for c in records]),
        "length": np.median([c.n_tokens for c in records]),
        "mean_length": np.mean([c.n_tokens for c in records]),
        "four_grams": np.mean([_repeated(c.text) for c in records]),
        "truncated": np.mean([c.truncated for c in records]),
        "format": np.mean([c.format_ok for c in records]),
    }
    return {"right": "".join(map(str, right_PN.sum(1)))} | {k: round(float(v), 4) for k, v in found.items()}


def _repeated(text: str, n: int = 4) -> float:
    """Return the share of a text's n-grams of characters that stood in it before."""
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _sample(model: str, problems: Sequence[Problem], n: int, seed: int) -> list[Completion]:
    loaded, tokenizer = load_model(model)
    policy = Policy(make_engine(loaded, tokenizer, torch.float32), tokenizer, system_prompt="")
    with contextlib.closing(Verifier(TASK, 2.0)) as verifier:
        scorer, sampling = Scorer(TAGS, verifier), Sampling(LENGTH, 1.0)
        return sample(policy, problems, scorer, n=n, sampling=sampling, seed=seed).completions
