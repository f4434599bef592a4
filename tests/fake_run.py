"""Writes run directories with plausible numbers, as a run would leave them, for the tests of the report."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from rlvr.advantages.rollouts import Signal
from rlvr.core.records import Completion, Problem
from rlvr.runs.eval_file import save_eval
from rlvr.runs.rollouts_file import write_rollouts

LEVELS = tuple(f"arithmetic/L{level}" for level in range(6))
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\"> <b>unclosed <div",
    "--> <!-- ]]> {{ 7 * 7 }} {% raw %} ${7*7} `|pipe|` </pre></details></table>",
    "\x1b[31mred\x1b[0m\x07 \x00nul \x9b31m",
    "مرحبا بالعالم \u202eevil\u202c שלום",
    "x" * 10_000 + " end of the long line",
)


def sample(correct: bool | None = True, confidence: float | None = 0.5, **facts) -> dict:
    """One sample of an evaluation record."""
    rest = {"answer": "4", "tokens": 40, "logp": -3.0, "format_ok": True, "truncated": False}
    return {"correct": correct, "confidence": confidence, **rest, **facts}


def evaluation(problems: list[dict], **facts) -> dict:
    """An evaluation record over `problems`, each with `id`, `task`, `gold` and `samples`."""
    for problem in problems:
        problem["n"] = len(problem["samples"])
        problem["c"] = sum(s["correct"] is True for s in problem["samples"])
    return {
        "schema": 1, "set": "arithmetic", "spec": "arithmetic(levels=[0, 1, 2, 3, 4, 5])", "set_version": 1,
        "split": "test", "model": "smollm2-135m-instruct", "n": problems[0]["n"] if problems else 0,
        "temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": 7, "max_completion_length": 96,
        "tags": ["think", "answer", "confidence"], "seconds": 12.3, "sampled_tokens": 12345,
        "verifier_errors": 0, "problems": problems, **facts,
    }  # fmt: skip


def counted_evaluation(verdicts: list[list[bool | None]], confidence: float | None = 0.5, **facts) -> dict:
    """An evaluation with these verdicts, one list for each problem, all stated with one confidence."""
    problems = [
        {"id": f"p{i}", "task": LEVELS[i % 2], "gold": "4", "samples": [sample(c, confidence) for c in found]}
        for i, found in enumerate(verdicts)
    ]
    return evaluation(problems, **facts)


def drawn_evaluation(seed: int, skill: float, honesty: float, problems: int = 60, n: int = 8) -> dict:
    """An evaluation with random verdicts: `skill` adds to each rate, `honesty` to how well it is stated."""
    rng = random.Random(seed)
    rows = []
    for i in range(problems):
        level = i % len(LEVELS)
        rate = min(0.98, max(0.0, 0.9 - 0.18 * level + skill + random.Random(i).uniform(-0.15, 0.15)))
        samples = []
        for _ in range(n):
            right, missing = rng.random() < rate, rng.random() < 0.03
            stated = None if missing else round(honesty * rate + (1 - honesty) * rng.random(), 2)
            answer = "46" if right else str(rng.randrange(99))
            samples.append(sample(right, stated, answer=answer, tokens=rng.randint(20, 70), format_ok=not missing))
        problem = {"id": f"test/L{level}/{i}", "task": LEVELS[level], "gold": "46", "samples": samples}
        rows.append(problem)
    return evaluation(rows)


def metrics(steps: int, seed: int = 0) -> list[dict]:
    """Rows of a metrics.jsonl."""
    rng = random.Random(seed)
    rows = []
    for step in range(1, steps + 1):
        done = step / steps
        mixed, wrong, right, form = 0.45 + 0.1 * done, 0.4 - 0.2 * done, 0.3 + 0.25 * done, 0.92 + 0.03 * done
        row = {
            "reward": 0.5 + 0.3 * done, "rewards/correct/mean": right, "rewards/brier/mean": 0.6 + 0.2 * done,
            "rewards/format/mean": form, "rewards/correct/std": 0.4, "accuracy": right, "format_rate": form,
            "confidence/mean": 0.5, "confidence/missing": 0.05, "groups/no_signal": 0.1, "kept": 0.9,
            "dropped/drop_near_impossible": 0.1, "completions/mean_length": 45 - 5 * done, "grad_norm": 0.8,
            "completions/clipped_ratio": 0.05, "entropy": 0.6 - 0.3 * done, "step_time": 6.1,
        }  # fmt: skip
        row = {key: value + rng.uniform(-0.04, 0.04) for key, value in row.items()}
        row |= {"groups/mixed": mixed, "groups/all_wrong": wrong, "groups/all_right": 1 - mixed - wrong}
        rows.append({"step": step, "seconds": 6.1 * step, **row, "kl": None})
    return rows


def write_rollout_file(run: Path, step: int, groups: int = 4, size: int = 8, hostile: bool = False) -> None:
    """Write one rollout file through the real writer; with `hostile`, the first group says hostile things."""
    rng = random.Random(step)
    records, rewards = [], []
    for group in range(groups):
        level = group % len(LEVELS)
        a, b = rng.randrange(10, 99), rng.randrange(10, 99)
        prompt = [{"role": "user", "content": f"What is {a} + {b}?"}]
        problem = Problem(f"train/L{level}/{step}-{group}", prompt, str(a + b), LEVELS[level])
        for i in range(size):
            right, stated = rng.random() < 0.9 - 0.25 * group, round(rng.random(), 2)
            answer = str(a + b if right else a + b + rng.randrange(1, 9))
            text = f"<think>{a} + {b} = {answer}.</think>\n<answer>{answer}</answer>"
            text += f"\n<confidence>{stated}</confidence>"
            if hostile and group == 0:
                answer = HOSTILE[i % len(HOSTILE)]
                text, right, stated = f"hostile {i}: {answer}", False, None
            records.append(Completion(problem, text, answer, stated, stated is not None, right, len(text) // 3))
            rewards.append(0.5 * right + (0 if stated is None else 0.5 * (1 - (stated - right) ** 2)))
    reward = torch.tensor(rewards).view(groups, size)
    keep = torch.ones(groups, size, dtype=torch.bool)
    keep[-1] = False
    brier = [float("nan") if c.confidence is None else 1 - (c.confidence - c.correct) ** 2 for c in records]
    write_rollouts(
        run / "rollouts" / f"step-{step:05d}.parquet",
        step=step,
        records=records,
        terms={"correct": [float(c.correct) for c in records], "brier": brier},
        reward=reward,
        signal=Signal(reward - reward.mean(1, keepdim=True), keep, {"drop_near_impossible": ~keep}),
    )


def write_run(
    run: Path,
    *,
    before: dict | None = None,
    after: dict | None = None,
    steps: int = 0,
    planned: int | None = None,
    rollouts: tuple[int, ...] = (),
    hostile: bool = False,
    **config,
) -> Path:
    """Write a run directory and return it."""
    run.mkdir(parents=True)
    settings = {
        "model": "smollm2-135m-instruct",
        "advantage": "dr_grpo",
        "max_steps": planned or steps,
        "seed": 0,
    }
    settings |= {"data": "arithmetic(levels=[0, 1, 2, 3, 4, 5])", "rewards": {"correct": 0.5, "brier": 0.5}}
    settings |= config
    (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (run / "command.txt").write_text("rlvr train --config rlcr smollm2\n", encoding="utf-8")
    env = {
        "python": "3.11.2",
        "cpus": 2,
        "packages": {"trl": "1.16.0"},
        "started": "2026-01-01T12:00:00+0000",
    }
    (run / "env.json").write_text(json.dumps(env), encoding="utf-8")
    (run / "code.diff").write_text("", encoding="utf-8")
    for when, record in (("before", before), ("after", after)):
        if record:
            save_eval(record, run / "eval" / when / "arithmetic.json")
    if steps:
        rows = metrics(steps, settings["seed"])
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        seen = {"problem_id": [f"p{i}" for i in range(40)], "attempts": [8] * 40}
        seen["successes"] = [i % 9 for i in range(40)]
        pq.write_table(pa.table(seen), run / "difficulty.parquet")
    for step in rollouts:
        write_rollout_file(run, step, hostile=hostile)
    return run


def full_run(run: Path, gain: float = 0.12, honesty: float = 0.8, **options) -> Path:
    """Write a complete, plausible run."""
    options = {"steps": 60, "rollouts": (1, 58, 59, 60), "hostile": True, **options}
    before, after = drawn_evaluation(1, 0.0, 0.1), drawn_evaluation(2, gain, honesty)
    return write_run(run, before=before, after=after, **options)


def make_eval(problems=20, n=8, seed=0, easier=0.0, missing=0.1, unverified=0.0):
    """An evaluation of problems whose difficulty is fixed by their index; `easier` shifts it."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(problems):
        rate = 1 / (1 + np.exp(-(2 - i % 5 + np.sin(i) + easier)))
        samples = []
        for _ in range(n):
            right = bool(rng.random() < rate)
            samples.append(
                {
                    "correct": None if rng.random() < unverified else right,
                    "confidence": None
                    if rng.random() < missing
                    else round(float(np.clip(rate + rng.normal(0, 0.2), 0, 1)), 1),
                    "answer": "7" if right else rng.choice(["8", "9", None]),
                    "tokens": int(rng.integers(10, 50)),
                    "logp": -float(rng.exponential(3)),
                    "format_ok": bool(rng.random() < 0.9),
                    "truncated": bool(rng.random() < 0.1),
                }
            )
        c = sum(s["correct"] is True for s in samples)
        rows.append({"id": f"p{i}", "task": f"t/L{i % 5}", "gold": "7", "n": n, "c": c, "samples": samples})
    return {"schema": 1, "set": "t", "set_version": 1, "n": n, "problems": rows}
