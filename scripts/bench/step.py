"""Times whole training steps: rlvr against TRL's own trainer, alternately, each in a process of its own.

    python scripts/bench/step.py                                             tiny, a minute
    python scripts/bench/step.py --model smollm2-135m-instruct --out docs/performance/step.json

Arms: `rlvr` (its defaults); `trl` (GRPOTrainer, tuned: no checkpointing, the precision that is native here);
`trl_default` (GRPOTrainer as it comes: bfloat16 autocast, gradient checkpointing; float32 where bfloat16 is emulated,
because an emulated step takes hours); `rlvr_vllm` and `trl_vllm` sample by vLLM in the same process (a GPU, and a model
folder that vLLM can read). All arms get the same weights, prompts, optimizer, learning rate and lengths. Each process
trains `--steps` steps, two at least; the first is warm-up and not counted. `cpu_seconds` of a step are those of all its
threads together.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ARMS = ("rlvr", "trl", "trl_default", "rlvr_vllm", "trl_vllm")
VLLM = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3}


def reward_length(completion_ids: list[list[int]], **_: object) -> list[float]:
    """A reward with spread in every group."""
    return [len(ids) + sum(ids) % 7 for ids in completion_ids]


def timed(trainer: Any, method: str) -> list[float]:
    """Wrap a method of the trainer so that the list returned here gains the seconds of each call."""
    inner, seconds = getattr(trainer, method), []

    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        out = inner(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return out

    setattr(trainer, method, run)
    return seconds


def cpu_clock(trainer: Any) -> list[float]:
    """Return a list that gains, at the end of each step, the CPU seconds of this process so far, of all threads."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            ends.append(time.process_time())

    ends: list[float] = []
    trainer.add_callback(Clock())
    return ends


def work(arm: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps in this process; return the seconds of all but the first, and the peak memory."""
    from datasets import Dataset
    from peak import peak_gb
    from transformers.trainer_callback import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    from rlvr.config.settings import TrainConfig
    from rlvr.core.malloc_settings import keep_freed_memory
    from rlvr.models.load import load_model
    from rlvr.models.precision import Precision
    from rlvr.problems.prompts import messages
    from rlvr.problems.sets import load_problems
    from rlvr.training.trainer import RLVRTrainer

    ours = arm.startswith("rlvr")
    if ours:
        keep_freed_memory()  # as the command does
    model, tokenizer = load_model(args.model)
    chats = [messages(p, ("think", "answer")) for p in load_problems("arithmetic", "train", 64, 0)]
    common: dict[str, Any] = {
        "per_device_train_batch_size": args.prompts * args.group, "num_generations": args.group,
        "max_steps": args.steps, "max_completion_length": args.tokens, "learning_rate": 1e-9,
        "save_strategy": "no", "logging_steps": 1, "seed": 0, "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
    chosen = Precision.choose()
    precision = chosen.arguments
    tuned = {**precision, "gradient_checkpointing": False}
    own: dict[str, Any] = {
        "rlvr": {},
        "trl": tuned,
        "trl_default": precision,
        "rlvr_vllm": VLLM,
        "trl_vllm": tuned | VLLM,
    }[arm]
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset.from_dict({"prompt": chats})
        cls, kind = (RLVRTrainer, TrainConfig) if ours else (GRPOTrainer, GRPOConfig)
        config = kind(output_dir=folder, **common, **own)
        trainer = cls(model, args=config, train_dataset=data, processing_class=tokenizer, reward_funcs=reward_length)
        trainer.remove_callback(PrinterCallback)
        ends = cpu_clock(trainer)
        parts = {"sampling": timed(trainer, "_generate"), "training pass": timed(trainer, "training_step")}
        trainer.train()
    rows = [row for row in trainer.state.log_history if "step_time" in row][1:]
    sampling, passes = (
        statistics.mean(seconds[1:]) for seconds in parts.values()
    )  # training_step also asks for rollouts
    return {
        "seconds": statistics.mean(row["step_time"] for row in rows),
        "cpu_seconds": (ends[-1] - ends[0]) / (len(ends) - 1),
        "sampling_seconds": sampling,
        "training_seconds": passes - sampling,
        "tokens": (length := statistics.mean(row["completions/mean_length"] for row in rows)),
        "sampled_tokens_per_second": length * args.prompts * args.group / max(sampling, 1e-9),
        "peak_gb": peak_gb(chosen.device),
        "device": str(chosen.device),
    }


def main() -> None:
    """Run the arms in turn, `--repeats` times, and print the ratio to rlvr repeat by repeat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["rlvr", "trl"])
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--work", choices=ARMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print("RESULT " + json.dumps(work(args.work, args)))
        return
    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in args.arms}
    for i in range(args.repeats):
        for arm in args.arms:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--work", arm], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"arm {arm} failed:\n{done.stderr[-2000:]}")
            runs[arm].append(json.loads(done.stdout.split("RESULT ")[-1]))
        print(f"repeat {i + 1}: " + ", ".join(f"{a} {r[-1]['seconds']:.2f} s" for a, r in runs.items()), flush=True)
    for arm in args.arms[1:]:
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(runs[args.arms[0]], runs[arm], strict=True)]
        memory = [b["peak_gb"] / a["peak_gb"] for a, b in zip(runs[args.arms[0]], runs[arm], strict=True)]
        print(
            f"{arm} / {args.arms[0]}: time min {min(ratios):.2f}  median {statistics.median(ratios):.2f}  "
            f"max {max(ratios):.2f}; peak memory median {statistics.median(memory):.2f}"
        )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k != "work"}
        args.out.write_text(json.dumps({"settings": settings, "runs": runs}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
