"""The RL arms of utility_after.py: the utility as reward, or an honest reward and the same utility afterwards.

Every run is one of the command line, in a process of its own, as a user would start it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from parts.luck import LIKELY

from rlvr.decide import Prices, decide_eval
from rlvr.decide.policies import play
from rlvr.decide.recalibrate import Platt
from rlvr.measure.metrics import Interval, Records, auroc, bootstrap_mean
from rlvr.runs.eval_file import load_eval

HERE = Path(__file__).parent
TASK = str(HERE / "luck.py")
SEEDS = (0, 1, 2)
WRONG, OTHER = -5.0, -1.0  # the utility of both arms, and another one that neither was trained for
TAGS = ["--tags", "answer", "confidence"]
COMMON = [
    "--data", TASK, *TAGS, "--sft_steps", "0", "--advantage", "grpo", "--train_size", "512", "--max_steps", "80",
    "--learning_rate", "1e-4", "--per_device_train_batch_size", "64", "--eval_size", "160",
    "--max_completion_length", "48", "--no_report", "--log_rollouts", "false",
]  # fmt: skip
ARMS = {
    "honest": {"correct": 0.5, "brier": 0.5, "format": 0.5},
    "utility": {f"utility(right=1, abstain=0, wrong={WRONG:g})": 1.0, "format": 0.5},
}

DESIGN = """\
**Design, reinforcement learning.** `tiny` (1M parameters, warmed up once for 300 steps on the form and the letters) on
problems whose chances are known: the question names one of eight kinds, the answer is one of four letters, and the
likely letter is right with a chance of 0.98 down to 0.25 ([luck.py](../../scripts/findings/parts/luck.py)). Two arms,
80 steps of 8 problems x 8 completions, GRPO scaled by the group (so neither reward's size matters), same problems in
the same order: *honest* earns 0.5 correct + 0.5 Brier + 0.5 format; *utility* earns what acting on its stated
confidence is worth at right 1, wrong -5, no answer 0 ([reward](../../rewards/utility.py)) + 0.5 format. Both are judged
by that utility on 160 held-out problems x 8 samples. (A third action is needed: if every answer must be given, a wrong
one at -5 is the 0/1 reward on another scale, and the scaled advantage is the same.)"""


def run(store: Path) -> None:
    """Warm up once, train both arms with every seed, evaluate on test and validation, and store the pairs."""
    warm = _rlvr(
        "warmup", "--config", "tiny", "--data", TASK, *TAGS, "--sft_steps", "300", "--max_completion_length", "48"
    ).strip().splitlines()[-1]  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            for arm, rewards in ARMS.items():
                out = Path(folder) / f"{arm}-{seed}"
                _rlvr(
                    "train", "--config", "tiny", "--model", warm, "--rewards", json.dumps(rewards), *COMMON,
                    "--seed", str(seed), "--output_dir", str(out),
                )  # fmt: skip
                validation = out / "validation.json"
                _rlvr(
                    "evaluate", str(out / "model"), "--set", TASK, "--split", "validation", "--size", "160", "--n", "8",
                    "--max_completion_length", "48", "--system_prompt", "", *TAGS, "--out", str(validation),
                )  # fmt: skip
                (test,) = (out / "eval" / "after").glob("*.json")
                record = {"arm": arm, "seed": seed}
                rows.append(record | {"test": _pack(load_eval(test)), "validation": _pack(load_eval(validation))})
                print(f"{arm} {seed} done", flush=True)
        (before,) = (Path(folder) / f"honest-{SEEDS[0]}" / "eval" / "before").glob("*.json")
        rows.append({"arm": "warmed up", "seed": 0, "test": _pack(load_eval(before))})
    store.mkdir(parents=True, exist_ok=True)
    (store / "rl.json").write_text(json.dumps(rows, separators=(",", ":")), encoding="utf-8")


def compare(store: Path) -> dict[str, Any]:
    """Return the intervals of the criterion and a Markdown table, from the stored pairs."""
    rows = json.loads((store / "rl.json").read_text(encoding="utf-8"))
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
    found = {name: paired(name) for name in picks}
    lines = [
        "| arm, seed | pass@1 | AUROC | mean confidence | answered | utility, as stated | utility, Platt |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (start, *(r for arm in ARMS for r in by_arm[arm])):
        lines.append(_line(row))
    best = np.mean([max(0.0, p + (1 - p) * WRONG) for p in LIKELY])
    text = "\n".join(lines) + (
        f"\n\nThe best possible utility is {best:.3f} (the likely letter, answered where its chance is above 5/6); "
        f"never answering earns 0. Honest minus utility arm, paired by problem within seeds: as stated "
        f"{found['as stated']}; both recalibrated {found['both recalibrated']}; at a wrong price of {OTHER:g}, which "
        f"neither arm was trained for, both recalibrated, {found['other']}."
    )
    answered = {arm: np.mean([_values(row)["answered, platt"].mean() for row in by_arm[arm]]) for arm in ARMS}
    text += (
        f"\n\n**What points 6 and 7 hide.** After Platt the honest arm answers {answered['honest']:.1%} of the time, "
        f"the utility arm {answered['utility']:.1%}. Never answering earns 0, so point 6, as it was written, is won by "
        "an arm that recalibration silences against one that answers at a loss: it shows that recalibration protects, "
        "and says nothing of which reward taught more. What the confidences know is the column AUROC (0.5 is nothing); "
        "the fairer comparisons are those of the paragraph above, as stated and both recalibrated."
    )
    return {"utility": found["utility"], "pass@1": found["pass@1"], "table": text, "answered": answered["honest"]}


def _line(row: dict[str, Any]) -> str:
    record = _unpack(row["test"])
    q, y, _ = Records.of(record).pairs()
    stated = decide_eval(record, Prices(wrong=WRONG), n_resamples=1).policies["act on the confidence"]
    values = _values(row)
    platt = f"{np.mean(values['platt']):+.3f}" if "platt" in values else ""
    return (
        f"| {row['arm']}, {row['seed']} | {np.mean(values['pass@1']):.3f} | {auroc(q, y):.3f} | {q.mean():.3f} | "
        f"{stated['coverage'].value:.3f} | {np.mean(values['stated']):+.3f} | {platt} |"
    )


def _values(row: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return name -> one value per test problem: pass@1 and utilities."""
    records = Records.of(_unpack(row["test"]))
    P, problem_S = records.n_problems, records.problem_S
    q_S = records.confidence_S

    def per_problem(values_S: np.ndarray) -> np.ndarray:
        return np.bincount(problem_S, weights=values_S, minlength=P) / np.bincount(problem_S, minlength=P)

    def earned(q_S: np.ndarray, wrong: float) -> np.ndarray:
        return per_problem(play(q_S, records.correct_S, problem_S, Prices(wrong=wrong)).payoff_S)

    found = {"pass@1": per_problem(records.correct_S), "stated": earned(q_S, WRONG)}
    if "validation" in row:
        q, y, _ = Records.of(_unpack(row["validation"])).pairs()
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


def _rlvr(*argv: str) -> str:
    """Run a command of rlvr in a process of its own and return what it printed."""
    done = subprocess.run([sys.executable, "-m", "rlvr", *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"rlvr {' '.join(argv)} failed:\n{done.stderr[-3000:]}")
    return done.stdout
