"""The RL arms of utility_after.py: the utility as reward, or an honest reward and the same utility afterwards."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO, run_rlvr, table
from parts.luck import LIKELY

import rlvr
from rlvr.config.settings import EvalConfig
from rlvr.core.files import write_whole
from rlvr.decide import Prices, decide_eval
from rlvr.decide.policies import play
from rlvr.decide.recalibrate import Platt
from rlvr.measure.evaluate import evaluate_config
from rlvr.measure.metrics import EvalArrays, Interval, auroc, bootstrap_mean
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import load_eval

STORE = REPO / "docs" / "findings" / "utility_after"
OUT = REPO / "runs" / "finding-utility_after" / "rl"
TASK = str(REPO / "scripts" / "findings" / "parts" / "luck.py")
SEEDS = (0, 1, 2)
WRONG, OTHER = -5.0, -1.0  # the utility of both arms, and another one that neither was trained for
TAGS = ["answer", "confidence"]
COMMON = {
    "data": TASK, "tags": TAGS, "sft_steps": 0, "advantage": "grpo", "train_size": 512, "max_steps": 80,
    "warmup_steps": 0,
    "learning_rate": 1e-4, "per_device_train_batch_size": 64, "eval_size": 160, "max_completion_length": 48,
    "log_rollouts": False,
}  # fmt: skip
ARMS = {
    "honest": {"correct": 0.5, "brier": 0.5, "format": 0.5},
    "utility": {f"utility(right=1, abstain=0, wrong={WRONG:g})": 1.0, "format": 0.5},
}


def after(run: Path) -> dict[str, Any]:
    """Evaluate a trained arm on validation problems; return what the comparison reads of that and of the test."""
    config = EvalConfig(
        set=TASK, split="validation", size=160, n=8, max_completion_length=48, system_prompt="", tags=TAGS
    )
    (validation,) = evaluate_config(str(run / "model"), config)
    test = load_eval(RunDir(run).evaluation("after", TASK))
    return {"packed": {"test": _pack(test), "validation": _pack(validation)}}


def rerun(options: argparse.Namespace) -> None:
    """Warm up once, train both arms with every seed, evaluate on test and validation, and store the pairs."""
    warm = run_rlvr(
        "warmup", "--config", "tiny", "--data", TASK, "--tags", *TAGS, "--sft_steps", "300",
        "--max_completion_length", "48",
    ).strip().splitlines()[-1]  # fmt: skip
    arms = {arm: {"set": {"rewards": rewards}} for arm, rewards in ARMS.items()}
    keys = {"base": ["tiny"], "set": COMMON | {"model": warm}, "arms": arms, "seeds": list(SEEDS)}
    found = rlvr.ablate(keys, OUT, jobs=options.jobs, measure=after)
    assert found is not None
    rows = [{"arm": a, "seed": s, **found.measured(a, s)["packed"]} for s in SEEDS for a in ARMS]
    before = load_eval(RunDir(OUT / "runs" / f"honest-s{SEEDS[0]}").evaluation("before", TASK))
    rows.append({"arm": "warmed up", "seed": 0, "test": _pack(before)})
    write_whole(STORE / "rl.json", json.dumps(rows, separators=(",", ":")))


def compare() -> dict[str, Any]:
    """Return the intervals of the criterion and a Markdown table, from the stored pairs."""
    rows = json.loads((STORE / "rl.json").read_text(encoding="utf-8"))
    start = next(row for row in rows if row["arm"] == "warmed up")
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in ARMS}

    def paired(values: str) -> Interval:
        mine = {arm: np.concatenate([_values(row)[key] for row in by_arm[arm]]) for arm, key in picks[values].items()}
        return bootstrap_mean(mine["honest"] - mine["utility"])

    picks = {
        "utility": {"honest": "platt", "utility": "stated"},
        "pass@1": {"honest": "pass@1", "utility": "pass@1"},
        "both recalibrated": {"honest": "platt", "utility": "platt"},
        "as stated": {"honest": "stated", "utility": "stated"},
        "other": {"honest": "other", "utility": "other"},
    }
    header = ("arm, seed", "pass@1", "AUROC", "mean confidence", "answered", "utility, as stated", "utility, Platt")
    return {name: paired(name) for name in picks} | {
        "table": table(header, [_cells(row) for row in (start, *(r for arm in ARMS for r in by_arm[arm]))]),
        "best": np.mean([max(0.0, p + (1 - p) * WRONG) for p in LIKELY]),
        "other price": OTHER,
        "answered": {a: np.mean([_values(row)["answered, platt"].mean() for row in by_arm[a]]) for a in ARMS},
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    record = _unpack(row["test"])
    q, y, _ = EvalArrays.of(record).pairs()
    stated = decide_eval(record, Prices(wrong=WRONG), n_resamples=1).policies["act on the confidence"]
    values = _values(row)
    platt = f"{np.mean(values['platt']):+.3f}" if "platt" in values else ""
    return (
        f"{row['arm']}, {row['seed']}", f"{np.mean(values['pass@1']):.3f}", f"{auroc(q, y):.3f}", f"{q.mean():.3f}",
        f"{stated['coverage'].value:.3f}", f"{np.mean(values['stated']):+.3f}", platt,
    )  # fmt: skip


def _values(row: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return name -> one value per test problem: pass@1 and utilities."""
    records = EvalArrays.of(_unpack(row["test"]))
    P, problem_S = records.n_problems, records.problem_S
    q_S = records.confidence_S

    def per_problem(values_S: np.ndarray) -> np.ndarray:
        return np.bincount(problem_S, weights=values_S, minlength=P) / np.bincount(problem_S, minlength=P)

    def earned(q_S: np.ndarray, wrong: float) -> np.ndarray:
        return per_problem(play(q_S, records.correct_S, problem_S, Prices(wrong=wrong)).payoff_S)

    found = {"pass@1": per_problem(records.correct_S), "stated": earned(q_S, WRONG)}
    if "validation" in row:
        q, y, _ = EvalArrays.of(_unpack(row["validation"])).pairs()
        honest_S = np.where(np.isnan(q_S), np.nan, Platt().fit(q, y).predict(np.nan_to_num(q_S)))
        found |= {"platt": earned(honest_S, WRONG), "other": earned(honest_S, OTHER)}
        found["answered, platt"] = play(honest_S, records.correct_S, problem_S, Prices(wrong=WRONG)).answered_S
    return found


def _pack(record: dict[str, Any]) -> list[list[list[float | int | None]]]:
    """Keep of an evaluation what the comparison reads: [confidence, correct] for each sample of each problem."""
    return [[[s["confidence"], int(s["correct"])] for s in problem["samples"]] for problem in record["problems"]]


def _unpack(pairs: list[list[list[Any]]]) -> dict[str, Any]:
    rest = {"answer": None, "tokens": 1, "format_ok": True, "truncated": False}
    return {
        "problems": [
            {
                "id": str(i),
                "task": "luck",
                "gold": "",
                "samples": [{**rest, "confidence": q, "correct": bool(y)} for q, y in s],
            }
            for i, s in enumerate(pairs)
        ]
    }
