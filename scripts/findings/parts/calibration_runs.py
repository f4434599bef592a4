"""The runs of calibration.py, and its results in compact form: one .npz with what the metrics read of every sample.

Every arm is trained by `rlvr ablate` (calibration.yaml beside this file), whose `measure` evaluates the arms that are
recalibrated on validation problems. What is there is not run again.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from finding import REPO
from parts import chains

import rlvr
from rlvr.config.settings import EvalConfig
from rlvr.core.parse import render
from rlvr.measure.evaluate import evaluate_config
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.eval_file import load_eval, save_eval
from rlvr.training.supervised.warmup import Warmup, warmup

STORE = REPO / "docs" / "findings" / "calibration"
OUT = REPO / "runs" / "finding-calibration"
HERE = Path(__file__).parent
GRID = HERE / "calibration.yaml"
SETTINGS = yaml.safe_load(GRID.read_text(encoding="utf-8"))
INSIDE, OUTSIDE = SETTINGS["set"]["eval_data"]
SETS = {"in": INSIDE, "out": OUTSIDE}
SEEDS: list[int] = SETTINGS["seeds"]
ARMS = list(SETTINGS["arms"]) + [c for c in SETTINGS["controls"] if c != "untrained"]
FITTED = ("rlvr", "rlcr")  # the arms that are recalibrated, on validation problems
NONE = 255  # a confidence that is not there


def warm(out: Path = OUT) -> None:
    """Put the model that all arms start from into `out`/warm: 600 steps on chains of 2 to 6 terms, worked."""
    if (out / "warm").is_dir():
        return
    out.mkdir(parents=True, exist_ok=True)
    rows = out / "warm.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for problem in chains.load("train", 600 * 32, 7919, terms=(2, 3, 4, 5, 6)):
            reply = render(chains.solution(problem), problem.answer, tags=("think", "answer"))
            file.write(json.dumps({"prompt": problem.prompt[0]["content"], "completion": reply}) + "\n")
    made = warmup(
        Warmup(
            "tiny", "scripts/findings/parts/chains.py", 600, 32, 3e-3, 900, system_prompt="", bf16=False, rows=str(rows)
        )
    )
    shutil.copytree(made, out / "warm")


def validation(run: Path) -> dict[str, Any]:
    """Evaluate a trained run on validation problems, if its arm is recalibrated, and keep that beside the run."""
    if run.name.rsplit("-s", 1)[0] not in FITTED:
        return {}
    names = {"size": "eval_size", "n": "eval_n", "max_completion_length": "max_completion_length"}
    sizes = {name: SETTINGS["set"][key] for name, key in names.items()}
    config = EvalConfig(set=INSIDE, split="validation", system_prompt="", dtype="float32", **sizes)
    (found,) = evaluate_config(str(run / "model"), config)
    save_eval(found, run / "validation.json")
    return {"validation": [p["c"] / p["n"] for p in found["problems"]]}


def rerun(options: argparse.Namespace) -> None:
    """Train and measure whatever runs/finding-calibration lacks, then write the compact results."""
    warm()
    rlvr.ablate(GRID, OUT, jobs=options.jobs)
    collect(OUT, STORE)


def collect(out: Path, store: Path) -> None:
    """Write the evaluations of every run into one compressed file, and what each run cost beside it."""
    arrays: dict[str, np.ndarray] = {}
    costs: dict[str, dict[str, float]] = {}
    for arm in ARMS:
        for seed in SEEDS:
            path = out / "runs" / f"{arm}-s{seed}"
            for name, spec in SETS.items():
                arrays |= pack(f"{arm}/{seed}/{name}", load_eval(RunDir(path).evaluation("after", spec)))
                if arm == ARMS[0]:
                    before = load_eval(RunDir(path).evaluation("before", spec))
                    arrays |= pack(f"untrained/{seed}/{name}", before)
            if arm in FITTED:
                arrays |= pack(f"{arm}/{seed}/validation", load_eval(path / "validation.json"))
            last = read_metrics(path / "metrics.jsonl")[-1]
            costs[f"{arm}/{seed}"] = {k: round(last[k], 1) for k in ("seconds", "num_tokens")}
    store.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(store / "samples.npz", **arrays)
    (store / "costs.json").write_text(json.dumps(costs, indent=0) + "\n", encoding="utf-8")


def pack(key: str, record: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of one evaluation, (P, n): confidence in hundredths, correct, answer's number, mean logp."""
    problems = record["problems"]
    samples = [p["samples"] for p in problems]
    numbers = []
    for mine in samples:
        order = sorted({s["answer"] for s in mine if s["answer"] is not None})
        numbers.append([NONE if s["answer"] is None else order.index(s["answer"]) for s in mine])

    def table(value: Any, dtype: type) -> np.ndarray:
        return np.array([[value(s) for s in mine] for mine in samples], dtype)

    found = {
        f"{key}/q": table(lambda s: NONE if s["confidence"] is None else round(100 * s["confidence"]), np.uint8),
        f"{key}/correct": table(lambda s: s["correct"] is True, np.bool_),
        f"{key}/format": table(lambda s: s["format_ok"], np.bool_),
        f"{key}/answer": np.array(numbers, np.uint8),
        f"{key}/task": np.array([p["task"] for p in problems]),
    }
    if key.split("/")[0] in FITTED:
        found[f"{key}/mean_logp"] = table(lambda s: s["logp"] / max(1, s["tokens"]), np.float16)
    return found


def unpack(arrays: Any, key: str) -> dict[str, Any]:
    """Return an evaluation record with what `EvalArrays.of` reads; `tokens` is 1, so `sequence_mean` is exp(logp)."""
    q, correct, fine, answer, task = (arrays[f"{key}/{name}"] for name in ("q", "correct", "format", "answer", "task"))
    logp = arrays.get(f"{key}/mean_logp")
    problems = []
    for i in range(len(task)):
        samples = [
            {
                "confidence": None if q[i, j] == NONE else q[i, j] / 100,
                "correct": bool(correct[i, j]),
                "answer": None if answer[i, j] == NONE else int(answer[i, j]),
                "logp": None if logp is None else float(logp[i, j]),
                "tokens": 1, "format_ok": bool(fine[i, j]), "truncated": False,
            }
            for j in range(q.shape[1])
        ]  # fmt: skip
        problems.append({"id": str(i), "task": str(task[i]), "gold": "", "samples": samples})
    return {"problems": problems}
