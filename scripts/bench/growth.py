"""How costs grow: prefill with the group size, sampling with the sequences, memory of the training pass with the rows.

    python scripts/bench/growth.py --model smollm2-135m-instruct --out bench/growth.json

Prefill is the time to the first token of every completion; sharing makes it nearly independent of G. Memory is the
rise of the process's peak while one training pass (forward and backward of the log-probabilities) runs, each size in a
process of its own, beside what (rows x tokens x vocabulary) logits in float32 alone would take.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from rlvr.core.malloc_settings import keep_freed_memory
from rlvr.models.chat import encode
from rlvr.models.forward.head import add_scores
from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import share_prompts
from rlvr.models.load import eos_ids, load_model
from rlvr.models.sampling import Engine, Sampling
from rlvr.problems.prompts import messages
from rlvr.problems.sets import load_problems

PROMPTS = 8


def measure_memory(model_spec: str, rows: int, tokens: int) -> dict[str, float]:
    """Return the rise of peak memory (GB) in one training pass over `rows` completions of `tokens` tokens."""
    model, _ = load_model(model_spec)
    model.train().requires_grad_(True)
    for p in model.parameters():  # gradients exist before the pass, as they do from the second step on
        p.grad = torch.zeros_like(p)
    add_scores(model, 1.0)
    share_prompts(model)
    prompt = torch.randint(5, 200, (rows // 8, tokens)).repeat_interleave(8, 0)
    completion = torch.randint(5, 200, (rows, tokens))
    packed = pack(prompt, torch.ones_like(prompt), completion, torch.ones_like(completion))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from what is resident now
    before = resident("VmRSS")
    model(**packed.model_inputs, labels=packed.labels_1L, scores=True).log_probs.sum().backward()
    logits = rows * tokens * model.config.vocab_size * 4 / 2**30
    return {"rows": rows, "rise_gb": resident("VmHWM") - before, "logits_gb": logits}


def resident(field: str) -> float:
    """Return a line of /proc/self/status in GB: VmRSS is resident now, VmHWM its peak."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(field))
    return int(line.split()[1]) / 2**20


def main() -> None:
    """Print the three curves and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--sequences", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)  # the rows of a child process
    args = parser.parse_args()
    if args.memory:
        print("RESULT " + json.dumps(measure_memory(args.model, args.memory, args.tokens)))
        return
    keep_freed_memory()
    model, tokenizer = load_model(args.model)
    problems = load_problems("arithmetic", "train", max(args.sequences) // 8, 0)
    prompts = encode(tokenizer, [messages(p, ("think", "answer")) for p in problems])
    engine = Engine(model.eval(), eos_ids(model, tokenizer), tokenizer.pad_token_id)

    def seconds(some: list[list[int]], group: int, tokens: int) -> list[float]:
        return [engine.generate(some, group, Sampling(tokens), seed=i).seconds for i in range(args.repeats + 1)][1:]

    prefill = {group: seconds(prompts[:PROMPTS], group, 1) for group in args.groups}
    for group, times in prefill.items():
        print(f"prefill {PROMPTS} prompts x {group:<3} {statistics.median(times):7.3f} s", flush=True)
    sampling = {n: seconds(prompts[: n // 8], 8, args.tokens) for n in args.sequences}
    for n, times in sampling.items():
        print(f"sample {n:>4} sequences  {statistics.median(times):7.2f} s", flush=True)
    memory = []
    for rows in args.rows:
        command = [sys.executable, __file__, "--model", args.model, "--tokens", str(args.tokens), "--memory", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        memory.append(json.loads(done.stdout.split("RESULT ")[-1]))
        print("memory of {rows} rows: peak + {rise_gb:.2f} GB; logits alone {logits_gb:.2f} GB".format(**memory[-1]))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {"model": args.model, "prompts": PROMPTS, "tokens": args.tokens, "repeats": args.repeats}
        found = {"settings": settings, "prefill": prefill, "sampling": sampling, "memory": memory}
        args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
