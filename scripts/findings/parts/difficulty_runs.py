"""The runs of near_impossible.py: one warm-up, one profile, then a short training per arm and seed by `rlvr ablate`."""

import argparse
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from finding import REPO, read_rows, run_tasks
from parts.difficulty_cells import CELLS, MIXED, PROFILE, measured, steps_ok

import rlvr
from rlvr.core.files import write_whole
from rlvr.core.records import Completion, Problem
from rlvr.measure.sample import Policy, make_engine, sample
from rlvr.models.load import load_model
from rlvr.models.sampling import Sampling
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import load_problems
from rlvr.problems.verifier import Verifier
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.training.answer_metrics import repetition
from rlvr.training.supervised.warmup import Warmup, warmup

ROWS = REPO / "docs" / "findings" / "near_impossible" / "runs.jsonl"
OUT = REPO / "runs" / "finding-near_impossible"
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


def folder_of(arm: str) -> str:
    """Return an arm's name in `rlvr ablate`, whose folders have no slashes."""
    return arm.replace("/", "+")


def space_of(arm: str) -> str:
    """Return the answer space that an arm is measured in."""
    return "large" if "large" in arm else "small"


def profile() -> None:
    """Store right answers of 16 for each training and held-out problem of both spaces, by the warmed-up model."""
    torch.set_num_threads(1)
    stored: dict[str, dict[str, dict[str, int]]] = {}
    for space in SPACES:
        stored[space] = {}
        for split, size in POOLS.items():
            problems = load_problems(f"{TASK}(space='{space}')", split, size, 0)
            records = _sample(str(warmup(WARM)), problems, K, seed=1)
            right = np.array([c.correct is True for c in records]).reshape(-1, K).sum(1)
            stored[space][split] = {p.id: int(c) for p, c in zip(problems, right, strict=True)}
    write_whole(PROFILE, json.dumps(stored, separators=(",", ":")))


def rerun(options: argparse.Namespace) -> None:
    """Profile, measure the base, and train and measure every arm with every seed that runs.jsonl lacks."""
    if not PROFILE.is_file():
        profile()
    bases = [{"arm": f"base/{space}", "seed": 0} for space in SPACES]
    run_tasks(ROWS, bases, lambda arm, seed: {"after": measure(str(warmup(WARM)), space_of(arm))})
    done = {(row["arm"], row["seed"]) for row in read_rows(ROWS)}
    missing = [(arm, seed) for arm in arms() for seed in SEEDS if (arm, seed) not in done]
    if not missing:
        return
    names, seeds = ([*dict.fromkeys(part)] for part in zip(*missing, strict=True))
    found = rlvr.ablate(ablation(names, seeds), OUT, jobs=options.jobs, measure=after)
    assert found is not None
    with ROWS.open("a", encoding="utf-8") as lines:
        for arm, seed in missing:
            values = found.measured(folder_of(arm), seed)
            if not values:
                raise SystemExit(f"{arm}, seed {seed}, was not measured: see {OUT}/report.md.")
            metrics = read_metrics(RunDir(OUT / "runs" / f"{folder_of(arm)}-s{seed}").metrics)
            row = {"arm": arm, "seed": seed, **values, "seconds": round(metrics[-1]["seconds"], 1)}
            lines.write(json.dumps(row, separators=(",", ":")) + "\n")


def ablation(names: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Return what `rlvr ablate` is given; it saves a checkpoint every `EVERY` updates, of which `STEPWISE` keep all."""
    model = str(warmup(WARM))
    kept = {"save_total_limit": STEPS // EVERY}
    chosen = {folder_of(arm): {"set": arms()[arm] | (kept if arm in STEPWISE else {})} for arm in names}
    return {"set": SETTINGS | {"model": model, "save_steps": EVERY}, "arms": chosen, "seeds": list(seeds)}


def after(run: Path) -> dict[str, Any]:
    """Measure a trained arm at its end, at its checkpoints where it is followed, and its curves of training."""
    torch.set_num_threads(1)
    arm = run.name.rsplit("-s", 1)[0].replace("+", "/")
    files = RunDir(run)
    found = {"after": measure(str(files.model), space_of(arm)), "train": _curves(read_metrics(files.metrics))}
    if arm in STEPWISE:
        at = range(EVERY, STEPS, EVERY)
        found["steps"] = {str(s): measure(str(files.checkpoints / f"checkpoint-{s}"), space_of(arm)) for s in at}
    return found


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
