"""Measures the training pass against the machine: useful floating-point operations per second over the matrix peak.

    python scripts/bench/training.py --model smollm2-135m-instruct

The peak is the best of square and tall products in the precision that is native here. Useful work is 6 operations per
weight and token for the body (2 forward, 4 backward) over the positions that had to be computed, and 8 for the head
(its backward computes the logits again) over the scored tokens; attention is not counted.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from rlvr.core.malloc_settings import keep_freed_memory
from rlvr.models.forward.head import add_scores
from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import share_prompts
from rlvr.models.load import load_model
from rlvr.models.precision import native_bf16


def peak(dtype: torch.dtype) -> float:
    """Return the best matrix-product speed in GFLOP/s."""
    best = 0.0
    for m, k, n in ((2048, 2048, 2048), (1024, 576, 1536), (4096, 1024, 1024)):
        a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        for _ in range(4):
            start = time.perf_counter()
            for _ in range(4):
                a @ b
            best = max(best, 4 * 2 * m * k * n / (time.perf_counter() - start) / 1e9)
    return best


def main() -> None:
    """Time forward and backward over shared prompts, and over the same rows with every prompt repeated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompt_tokens", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    keep_freed_memory()
    model, _ = load_model(args.model)
    model.train().requires_grad_(True)
    add_scores(model, 1.0)
    share_prompts(model)
    rows = args.prompts * args.group
    prompt = torch.randint(5, 200, (args.prompts, args.prompt_tokens)).repeat_interleave(args.group, 0)
    completion = torch.randint(5, 200, (rows, args.tokens))
    ones = torch.ones_like
    packed = pack(prompt, ones(prompt), completion, ones(completion))
    whole = torch.cat([prompt, completion], 1)
    labels = whole.clone()
    labels[:, : args.prompt_tokens] = -100
    head = model.get_output_embeddings().weight.numel()
    body = sum(p.numel() for p in model.parameters()) - head
    dtype = torch.bfloat16 if native_bf16() else torch.float32
    top = peak(dtype)
    print(f"matrix peak {top:.0f} GFLOP/s in {str(dtype).removeprefix('torch.')}")
    result: dict[str, object] = {"peak_gflops": top}
    for name, inputs, target in (
        ("shared prompts", packed.model_inputs, packed.labels_1L),
        ("repeated prompts", {"input_ids": whole}, labels),
    ):
        seconds, cpu = [], []
        for _ in range(args.repeats + 1):
            model.zero_grad()
            start, busy = time.perf_counter(), time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                model(**inputs, labels=target, scores=True).log_probs.sum().backward()
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - busy)
        work = (6 * body * inputs["input_ids"].numel() + 8 * head * completion.numel()) / 1e9
        middle = statistics.median(seconds[1:])
        print(
            f"{name:<17} {inputs['input_ids'].numel():6} positions  {middle:6.2f} s  {work / middle:5.0f} GFLOP/s  "
            f"{work / middle / top:.0%} of the peak"
        )
        result[name] = {
            "seconds": seconds[1:],
            "cpu_seconds": cpu[1:],
            "positions": inputs["input_ids"].numel(),
            "gflop": work,
        }
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
