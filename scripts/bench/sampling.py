"""Times sampling: the in-process engine (both paths) against transformers' generate, over the number of sequences.

    python scripts/bench/sampling.py                                          tiny, seconds
    python scripts/bench/sampling.py --model smollm2-135m-instruct --sequences 8 32 128
    python scripts/bench/sampling.py --vllm /path/to/other/env/bin/python     adds vLLM from another environment
    python scripts/bench/sampling.py --dtype bfloat16                         weights of all arms in bfloat16

Useful tokens are those up to the end token. Every arm samples the same prompts at temperature 1; arms take turns. On
a GPU it also prints each arm's peak memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from peak import peak_gb, reset_peak

from rlvr.core.malloc_settings import keep_freed_memory
from rlvr.models.chat import encode
from rlvr.models.load import eos_ids, load_model
from rlvr.models.precision import run_device
from rlvr.models.sampling import Engine, Sampling
from rlvr.problems.prompts import messages
from rlvr.problems.sets import load_problems

sys.path.insert(0, str(Path(__file__).parent))

ARMS = ("rlvr", "rlvr_general", "transformers")

# Runs in the other environment: prompts as token ids on standard input, seconds and lengths on standard output.
VLLM = """
import json, sys, time
job = json.load(sys.stdin)
from vllm import LLM, SamplingParams
start = time.time()
llm = LLM(job["model"], dtype=job["dtype"], max_model_len=job["context"], enforce_eager=True,
          gpu_memory_utilization=0.4)
ready = time.time() - start
out = []
for repeat in range(job["repeats"]):
    params = SamplingParams(n=job["group"], temperature=1.0, max_tokens=job["tokens"])
    start = time.time()
    done = llm.generate([{"prompt_token_ids": p} for p in job["prompts"]], params, use_tqdm=False)
    out.append([time.time() - start, sum(len(c.token_ids) for r in done for c in r.outputs)])
print("RESULT " + json.dumps({"ready": ready, "runs": out}))
"""


def transformers_generate(model, tokenizer, prompts: list[list[int]], group: int, tokens: int, ends: list[int]) -> int:
    """Sample with transformers' generate (left padding, one batch); return the useful tokens."""
    width, pad = max(map(len, prompts)), tokenizer.pad_token_id
    rows = [[pad] * (width - len(p)) + p for p in prompts]
    seen = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
    ids, mask = (torch.tensor(t, device=model.device).repeat_interleave(group, 0) for t in (rows, seen))
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=tokens,
            eos_token_id=ends, pad_token_id=pad,
        )[:, width:]  # fmt: skip
    ended = torch.isin(out, torch.tensor(ends, device=out.device)).int()
    first = torch.where(ended.any(1), ended.argmax(1) + 1, out.shape[1])
    return int(first.sum())


def main() -> None:
    """Run all arms in turn for every number of sequences and print tokens per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="spec of rlvr.models.load; a warmed-up folder is the real case")
    parser.add_argument("--sequences", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS, help="rlvr must be among them")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--vllm", metavar="PYTHON", help="interpreter of an environment with vLLM")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    keep_freed_memory()
    device = run_device()
    model, tokenizer = load_model(args.model, dtype=getattr(torch, args.dtype), device=device)
    ends = eos_ids(model, tokenizer)
    problems = load_problems("arithmetic", "train", max(args.sequences) // args.group, 0)
    prompts = encode(tokenizer, [messages(p, ("think", "answer")) for p in problems])
    start = time.perf_counter()
    fast = Engine(model, ends, tokenizer.pad_token_id)
    fast.refresh()
    print(f"engine ready in {time.perf_counter() - start:.2f} s ({fast.path})")
    engines = {"rlvr": fast, "rlvr_general": Engine(model, ends, tokenizer.pad_token_id, fast=False)}
    result: dict[str, dict[str, list[float]]] = {}
    peak: dict[str, dict[str, float]] = {}
    cpu: dict[str, dict[str, list[float]]] = {}  # CPU seconds of a generation, all threads
    for n in args.sequences:
        some = prompts[: n // args.group]
        speed: dict[str, list[float]] = {arm: [] for arm in args.arms}
        for repeat in range(-1, args.repeats):  # the first round warms up
            for name in args.arms:
                reset_peak(device)
                start, busy = time.perf_counter(), time.process_time()
                if name == "transformers":
                    tokens = transformers_generate(model, tokenizer, some, args.group, args.tokens, ends)
                else:
                    tokens = engines[name].generate(some, args.group, Sampling(args.tokens), seed=repeat + 1).tokens
                speed[name].append(tokens / (time.perf_counter() - start))
                if repeat >= 0:
                    cpu.setdefault(str(n), {}).setdefault(name, []).append(time.process_time() - busy)
                peak.setdefault(str(n), {})[name] = peak_gb(device)
        if args.vllm:
            job = {
                "model": args.model, "dtype": args.dtype, "prompts": some, "group": args.group, "tokens": args.tokens,
                "repeats": args.repeats + 1, "context": min(1024, model.config.max_position_embeddings),
            }  # fmt: skip
            done = subprocess.run(
                [args.vllm, "-c", VLLM], input=json.dumps(job), capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"vLLM failed:\n{done.stderr[-2000:]}")
            answer = json.loads(done.stdout.split("RESULT ")[-1].splitlines()[0])
            print(f"vLLM ready in {answer['ready']:.1f} s")
            speed["vllm"] = [tokens / seconds for seconds, tokens in answer["runs"]]
        result[str(n)] = {name: values[1:] for name, values in speed.items()}
        for name, values in result[str(n)].items():
            ratios = [a / b for a, b in zip(result[str(n)]["rlvr"], values, strict=True)]
            print(
                f"{n:>4} sequences  {name:<13} {statistics.median(values):7.0f} tokens/s   rlvr is "
                f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f} x (min / median / max)"
                + (f"   peak {peak[str(n)][name]:.2f} GB" if device.type == "cuda" and name in peak[str(n)] else ""),
                flush=True,
            )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
        found = {
            "settings": settings,
            "device": str(device),
            "tokens_per_second": result,
            "cpu_seconds": cpu,
            "peak_gb": peak,
        }
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
