"""The runs of prune_problems.py: a base profiled on a pool of problems, three ways to choose, GRPO on what was chosen.

The profile is what a user of the product would make: 8 samples for each problem, `rlvr.prune` by their pass rate.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO, read_rows
from numpy.typing import NDArray
from parts.testbed_runs import COMMON, FORM, chances, curve, problems, train, warm
from scipy.stats import spearmanr

import rlvr
from rlvr.problems.worked import write_rows
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.select.prune import Prune

POOL, PROFILE = 2048, 8  # problems to choose from, samples of the base for each
FRACTION, TAIL = 0.5, 0.4  # kept; the hardest share that the window leaves out
ARMS = ("all", "random", "window")
UPDATES, SAVE_EVERY, RATE = 60, 20, 3e-4  # the rate: GRPO's by the pilots of signs.py, same base and batch
PROFILE_UPDATES = POOL * PROFILE / 512  # what the profile costs, in updates
WORLDS = {121: (1, 2), 122: (3, 4), 123: (5, 6), 124: (7, 8)}  # a base and a table -> the seeds of its runs
PILOT_WORLDS = (920, 921)
HARD = 0.4  # the share of test problems that the base solves least


def folder(world: int) -> Path:
    """Return the folder of a world's profile and choices."""
    return REPO / "runs" / "finding-prune-problems" / f"w{world}"


def profile(world: int) -> rlvr.Evaluation:
    """Sample the base on the pool (once)."""
    file = folder(world) / "profile.json"
    if not file.is_file():
        measured = rlvr.evaluate(
            warm(world), problems(world), split="train", size=POOL, data_seed=world, n=PROFILE, seed=world,
            max_completion_length=COMMON["max_completion_length"], dtype="float32", texts="none", **FORM,
        )  # fmt: skip
        measured.save(file)
    return rlvr.Evaluation(file)


def kept_file(world: int, arm: str) -> Path:
    """Return the file of the rows that an arm trains on; choose them first if nobody has."""
    file = folder(world) / f"{arm}.jsonl"
    if not file.is_file():
        measured, rows = profile(world), folder(world) / "pool.jsonl"
        write_rows(
            [{"id": p["id"], "prompt": p["id"], "completion": p["gold"]} for p in measured.contents["problems"]], rows
        )
        fraction = 1.0 if arm == "all" else FRACTION
        rule = Prune("random" if arm == "all" else arm, fraction, TAIL, random_share=0, seed=world)
        rlvr.prune(rows, file, "pass_rate", rule, attempts=measured)
    return file


def train_arms(file: Path, world: int, arms: Sequence[str], seeds: Sequence[int], measured_by: Any, jobs: int) -> None:
    """Train the arms of one world, each on its problems, and append the rows that `file` lacks."""
    for arm in arms:
        kept = str(kept_file(world, arm).relative_to(REPO))
        data = f"./scripts/findings/parts/kept_operators.py(table={world}, kept={kept!r}, pool={POOL})"
        common = {
            "model": warm(world), "data": data, "train_size": POOL, "learning_rate": RATE, "save_steps": SAVE_EVERY,
        }  # fmt: skip
        train(f"prune-{arm}", file, world, {arm: {"recipes": ["grpo"]}}, seeds, UPDATES, measured_by, jobs, common)


def measure(run: Path, split: str, size: int) -> dict[str, Any]:
    """Return pass@k of each checkpoint, the base first, and pass@1 on the hardest problems, before and after.

    Hardest: the HARD share of the measured problems to which the base gives the least chance.
    """
    config = rlvr.Run(run).config
    data = problems(config["data_size_seed"])
    saved = sorted((run / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    points = [chances(str(model), data, split, size) for model in (Path(config["model"]), *saved)]
    curves = [curve(p) for p in points]
    hard = points[0] <= np.quantile(points[0], HARD)
    rows = read_metrics(RunDir(run).metrics)
    return {
        "steps": [0, *(int(path.name.rpartition("-")[2]) for path in saved)],
        "along": {name: [c[name] for c in curves] for name in ("pass@1", "pass@16", "pass@128")},
        "hard": [round(float(p[hard].mean()), 5) for p in (points[0], points[-1])],
        "mixed": [round(float(row["groups/mixed"]), 3) for row in rows],
        "train_seconds": round(rows[-1]["seconds"]),
    }


def pilot(run: Path) -> dict[str, Any]:
    """Measure a pilot on validation problems."""
    return measure(run, "validation", 500)


def after(run: Path) -> dict[str, Any]:
    """Measure a run on test problems."""
    return measure(run, "test", 1000)


def true_chances(world: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return each problem's sampled pass rate, the base's chance from the logits, and whether the window keeps it."""
    contents = profile(world).contents["problems"]
    rate = np.array([np.mean([sample["correct"] for sample in p["samples"]]) for p in contents])
    measured = rlvr.evaluate(
        warm(world), problems(world), split="train", size=POOL, data_seed=world, exact=True, dtype="float32", **FORM
    )
    chance = {p["id"]: p["p"] for p in measured.contents["problems"]}
    kept = {row["id"] for row in read_rows(kept_file(world, "window"))}
    return rate, np.array([chance[p["id"]] for p in contents]), np.array([p["id"] in kept for p in contents])


def profile_facts(world: int) -> dict[str, float]:
    """Return a profile's rank correlation with the truth, and the mixed groups of 16 that are to be expected."""
    rate, chance, kept = true_chances(world)
    mixed = 1 - chance**16 - (1 - chance) ** 16
    return {
        "correlation": round(float(spearmanr(rate, chance)[0]), 4),
        "mixed_all": round(float(mixed.mean()), 4),
        "mixed_window": round(float(mixed[kept].mean()), 4),
    }
