"""What the findings on the operators testbed share: warm-ups, arms by `rlvr ablate`, exact pass@k along each run.

A *world* is a table of operators and a base that was warmed up on it, both drawn from one seed: `world=3` is the
problem set `operators(table=3)` and the warm-up of seed 3. A run is an arm in a world under a seed. Its checkpoints,
every ten updates, are measured by one teacher-forced pass over held-out problems (docs/testbed.md), so pass@k has no
sampling noise, and the arms can be compared at equal pass@1.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO, read_rows
from numpy.typing import NDArray

import rlvr
from rlvr.core.json_rows import json_text
from rlvr.problems.worked import write_rows
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.training.supervised.warmup import Warmup, warmup

STEPS, BATCH = 800, 32  # of every base's warm-up, in rows of worked problems
KS = (1, 2, 4, 8, 16, 32, 64, 128)
SAVE_EVERY = 10
FORM: dict[str, Any] = {"tags": ["answer"], "system_prompt": "", "chat_template_kwargs": {"bare": True}}
COMMON: dict[str, Any] = FORM | {
    "sft_steps": 0, "train_size": 8192, "eval_size": 0, "num_generations": 16, "per_device_train_batch_size": 256,
    "gradient_accumulation_steps": 2, "max_completion_length": 20, "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 10, "adam_beta2": 0.95, "beta": 0.0, "bf16": False, "log_rollouts": False,
    "save_steps": SAVE_EVERY, "save_total_limit": 100,
}  # fmt: skip
TRAINED = ("accuracy", "groups/mixed", "health/gradient_cosine")  # of metrics.jsonl, kept update by update


def problems(world: int, **more: Any) -> str:
    """Return the problem set of a world."""
    return f"operators({', '.join(f'{k}={v!r}' for k, v in {'table': world, **more}.items())})"


def warm(world: int, **more: Any) -> str:
    """Return the folder of a world's base (cached)."""
    return warm_on(problems(world, **more), world)


def warm_on(data: str, world: int, tags: Sequence[str] = ("answer",), rows: Path | None = None) -> str:
    """Return the folder of a world's base that was warmed up on a problem set in a form of answer (cached).

    `rows`: a file of worked rows in place of those that the set's teacher writes.
    """
    settings = Warmup(
        "tiny", data, STEPS, batch_size=BATCH, learning_rate=2e-3, seed=world, data_seed=world, tags=tuple(tags),
        system_prompt="", bf16=False, chat_template_kwargs={"bare": True}, rows=None if rows is None else str(rows),
    )  # fmt: skip
    return str(warmup(settings))


def kept_rows(file: Path, worked: Callable[[], list[dict[str, Any]]]) -> Path:
    """Return a file of worked rows, written first where it is missing."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_rows(worked(), file)
    return file


def chances(model: str, data: str, split: str, size: int, form: Mapping[str, Any] = FORM) -> NDArray[np.float64]:
    """Return the probability of a right completion for each of `size` held-out problems, from the logits."""
    measured = rlvr.evaluate(model, data, split=split, size=size, exact=True, dtype="float32", **form)
    return np.array([row["p"] for row in measured.record["problems"]])


def curve(chances_P: NDArray[np.float64]) -> dict[str, float]:
    """Return pass@k at each of KS: the mean over problems of 1 - (1 - p)^k."""
    return {f"pass@{k}": round(float((1 - (1 - chances_P) ** k).mean()), 5) for k in KS}


def measure(run: Path, split: str, size: int, form: Mapping[str, Any] = FORM) -> dict[str, Any]:
    """Return pass@k of each checkpoint (curves of `1 + updates / 10` points, the base first) and of training."""
    config, rows = rlvr.Run(run).config, read_metrics(RunDir(run).metrics)
    saved = {int(folder.name.rpartition("-")[2]): folder for folder in (run / "checkpoints").glob("checkpoint-*")}
    steps = [0, *sorted(step for step in saved if step % SAVE_EVERY == 0)]  # a run that was stopped has one more
    folders = [Path(config["model"]), *(saved[step] for step in steps[1:])]
    points = [curve(chances(str(folder), config["data"], split, size, form)) for folder in folders]
    along = {name: [point[name] for point in points] for name in points[0]}
    trained = {f"train_{k}": [None if r.get(k) is None else round(r[k], 3) for r in rows] for k in TRAINED}
    return {"steps": steps, "along": along, **trained, "train_seconds": round(rows[-1]["seconds"])}


def train(
    name: str,
    file: Path,
    world: int,
    arms: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    updates: int,
    measured_by: Any,
    jobs: int,
    common: Mapping[str, Any] | None = None,
) -> None:
    """Train the arms of one world by `rlvr ablate`, measure them, and append the rows that `file` lacks.

    `arms`: name -> what it has of its own ({"recipes": ["nsr"], "set": {"learning_rate": 3e-5}}); `common`: settings in
    place of this file's, the `model` among them. Interrupted, the same call goes on.
    """
    done = {(row["arm"], row["world"], row["seed"]) for row in read_rows(file)}
    missing = {arm: [s for s in seeds if (arm, world, s) not in done] for arm in arms}
    if not any(missing.values()):
        return
    start, folder = time.perf_counter(), REPO / "runs" / f"finding-{name}-w{world}"
    shared = COMMON | {"data": problems(world), "max_steps": updates, "data_size_seed": world} | dict(common or {})
    text = {
        "arms": dict(arms),
        "set": {"model": common["model"] if common else warm(world), **shared},
        "seeds": [*seeds],
    }
    found = rlvr.ablate(text, folder, jobs=jobs, measure=measured_by)
    assert found is not None
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        for arm, of_arm in missing.items():
            for seed in of_arm:
                values = found.measured(arm, seed)
                if not values:
                    raise SystemExit(f"{arm}, seed {seed}, was not measured: see {folder}/report.md.")
                lines.write(json_text({"arm": arm, "world": world, "seed": seed, **values}) + "\n")
    print(f"{name}, world {world}: {time.perf_counter() - start:.0f} s")
    shutil.rmtree(folder / "runs", ignore_errors=True)  # the rows have all that is used


def best_rates(rows: Sequence[Mapping[str, Any]], arms: Sequence[str], rates: Sequence[float]) -> dict[str, float]:
    """Return each arm's learning rate: the highest final pass@1, mean over the pilots; within 0.01 of it, the lowest.

    The rows' arms are called as `at_rate` calls them.
    """
    final = {
        (arm, rate): np.mean([row["along"]["pass@1"][-1] for row in rows if row["arm"] == at_rate(arm, rate)])
        for arm in arms
        for rate in rates
    }
    best = {arm: max(final[arm, rate] for rate in rates) for arm in arms}
    return {arm: min(rate for rate in rates if final[arm, rate] >= best[arm] - 0.01) for arm in arms}


def at_rate(arm: str, rate: float) -> str:
    """Return what a pilot of an arm at a learning rate is called."""
    return f"{arm}_{rate:g}"


def matched(row: Mapping[str, Any], gain: float, k: int) -> float:
    """Return pass@k where pass@1 first reaches the base's + `gain`, linear between two checkpoints; NaN if never.

    >>> row = {"along": {"pass@1": [0.1, 0.2, 0.4], "pass@128": [0.8, 0.7, 0.5]}}
    >>> round(matched(row, 0.2, 128), 3), matched(row, 0.5, 128)
    (0.6, nan)
    """
    one, many = (np.array(row["along"][f"pass@{j}"]) for j in (1, k))
    target = one[0] + gain
    above = np.flatnonzero(one >= target)
    if not len(above):
        return float("nan")
    i = above[0]
    share = (target - one[i - 1]) / (one[i] - one[i - 1])
    return float(many[i - 1] + share * (many[i] - many[i - 1]))
