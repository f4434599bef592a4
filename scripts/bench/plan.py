"""Checks `rlvr plan` against measured runs: peak memory and seconds of a step, estimate beside measured.

    python scripts/bench/plan.py --out docs/performance/plan.json

Every configuration is trained for three steps in a process of its own; the first step is not counted. Right behind it
`rlvr plan` estimates the same configuration, in a process of its own, given the run's mean completion length. No row is
skipped as silent (an untrained model gets nothing right), because the estimate counts every row. The constants
were calibrated on `smollm2, 16 x 48, G 8` (docs/plan.md); the other configurations check them.

`--again` runs nothing: it prints what today's formulas make of the machine speeds that a file holds.
`--cpu_seconds` lets both commands count the seconds of their own CPU instead of the wall's, so that a machine that
others use can be measured too: it needs OMP_NUM_THREADS=1 (the CPU seconds of several threads would add up).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

from rlvr.runs.directory import read_metrics

COMMON = [
    "--sft_steps",
    "0",
    "--eval_size",
    "0",
    "--skip_silent_rows",
    "false",
    "--save_strategy",
    "no",
    "--max_steps",
    "3",
]
SMOL = "--config grpo smollm2 --gradient_accumulation_steps 1 "
CONFIGURATIONS = {
    "smollm2, 8 x 32, G 4": SMOL + "--per_device_train_batch_size 8 --num_generations 4 --max_completion_length 32",
    "tiny, 32 x 40, G 8": "--config grpo tiny",
    "tiny, 64 x 96, G 16": (
        "--config grpo tiny --per_device_train_batch_size 64 --num_generations 16 --max_completion_length 96"
    ),
    "tiny, 2 x 32 x 40, G 8, checkpointing": (
        "--config grpo tiny --gradient_accumulation_steps 2 --gradient_checkpointing true"
    ),
    "smollm2, 16 x 48, G 8": SMOL + "--per_device_train_batch_size 16 --num_generations 8 --max_completion_length 48",
    "smollm2, 8 x 48, G 8, LoRA 16": (
        SMOL + "--per_device_train_batch_size 8 --num_generations 8 --max_completion_length 48 --lora_rank 16"
    ),
    "smollm2, 16 x 32, G 4, checkpointing": (
        SMOL + "--per_device_train_batch_size 16 --num_generations 4 --max_completion_length 32"
        " --gradient_checkpointing true"
    ),
    "smollm2, 2 x 8 x 32, G 4": (
        "--config grpo smollm2 --per_device_train_batch_size 8 --gradient_accumulation_steps 2 --num_generations 4"
        " --max_completion_length 32"
    ),
}


RLVR = [sys.executable, "-m", "rlvr"]
ON_CPU_SECONDS = """
import sys, time
start = time.time()
time.time, time.perf_counter = lambda: start + time.process_time(), time.process_time
from rlvr.commands.main import main
sys.exit(main(sys.argv[1:]))
"""


def measured(rlvr: list[str], flags: list[str]) -> dict[str, float]:
    """Train; return the peak of the process in bytes, seconds of a step and the mean length of a completion."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*rlvr, "train", *flags, "--no_report", "--output_dir", f"{folder}/run"]
        with open(f"{folder}/log", "w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(Path(f"{folder}/log").read_text()[-2000:])
        rows = read_metrics(Path(f"{folder}/run/metrics.jsonl"))
    return {
        "peak": usage.ru_maxrss * 1024,
        "seconds": (rows[-1]["seconds"] - rows[0]["seconds"]) / (len(rows) - 1),
        "tokens": statistics.mean(row["completions/mean_length"] for row in rows[1:]),
        "tokens_per_second": statistics.mean(row["sampling/tokens_per_second"] for row in rows[1:]),
    }


def estimate_again(entry: dict) -> dict[str, float]:
    """Return the seconds that today's formulas give for a stored run, from the speeds that were measured beside it."""
    from rlvr.config.settings import TrainConfig, parse_config
    from rlvr.planning.cost import Machine, resolve_job, seconds_rows

    recipes = list(takewhile(lambda word: not word.startswith("--"), entry["flags"][1:]))
    config = parse_config(TrainConfig, recipes, entry["flags"][1 + len(recipes) :], "bench")
    shape, job, _ = resolve_job(config, entry["measured"]["tokens"], 1)
    speeds = entry["plan"]["machine"]
    return seconds_rows(shape, job, Machine(**speeds | {"decode": tuple(map(tuple, speeds["decode"]))}))


def main() -> None:
    """Print estimate, measured and ratio, one line for each configuration, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", type=int, help="numbers of the configurations to run, from 0")
    parser.add_argument("--out", type=Path, help="JSON file to write; what it holds and did not run stays")
    parser.add_argument("--cpu_seconds", action="store_true", help="count the CPU's seconds, for a busy machine")
    parser.add_argument("--again", action="store_true", help="run nothing: today's formulas for what --out holds")
    args = parser.parse_args()
    if args.cpu_seconds and os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("--cpu_seconds needs OMP_NUM_THREADS=1")
    rlvr = [sys.executable, "-c", ON_CPU_SECONDS] if args.cpu_seconds else RLVR
    found = json.loads(args.out.read_text()) if args.out and args.out.is_file() else {}
    for name, entry in found.items() if args.again else ():
        seconds = sum(estimate_again(entry).values())
        print(
            f"{name:<40} time {seconds:6.2f} / {entry['measured']['seconds']:6.2f} s = "
            f"{seconds / entry['measured']['seconds']:.2f}"
        )
    if args.again:
        return
    for i, (name, text) in enumerate(CONFIGURATIONS.items()):
        if args.only and i not in args.only:
            continue
        flags = [*text.split(), *COMMON]
        load = os.getloadavg()[0]
        run = measured(rlvr, flags)
        command = [*rlvr, "plan", *flags, "--json", "--completion_length", str(run["tokens"])]
        plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        found[name] = {"flags": flags, "load_before": load, "measured": run, "plan": plan}
        found[name]["memory_ratio"] = plan["peak"] / run["peak"]
        found[name]["time_ratio"] = plan["step_seconds"] / run["seconds"]
        print(
            f"{name:<40} memory {plan['peak'] / 1e9:5.2f} / {run['peak'] / 1e9:5.2f} GB = "
            f"{found[name]['memory_ratio']:.2f}   time {plan['step_seconds']:6.2f} / {run['seconds']:6.2f} s = "
            f"{found[name]['time_ratio']:.2f}   (load before: {load:.1f})",
            flush=True,
        )
        if args.out:
            args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
