"""Estimate memory and time of a training run before it starts, and say what to change; loads no weights."""

import argparse
import json

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr plan --config rlcr smollm2
rlvr plan --config rlcr smollm2 --completion_length 40 --num_generations 16
rlvr plan --config grpo tiny --json
rlvr plan --config grpo smollm2 --model ./Qwen2.5-7B --processes 8
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, train_settings=True)
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    parser.add_argument("--processes", type=int, default=1, help="processes that share weights by FSDP (default: 1)")
    parser.add_argument(
        "--completion_length",
        type=float,
        help="mean length of a completion in tokens, for the time (default: half of max_completion_length)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON: bytes and seconds")
    args, rest = parser.parse_known_args(argv)
    from rlvr.config.settings import TrainConfig, parse_config

    config = parse_config(TrainConfig, args.config, rest, "rlvr plan")
    numbers = estimate(config, args)
    print(json.dumps(numbers, indent=2) if args.json else "\n".join(lines(numbers)))
    return 0 if numbers["fits"] else 1


def estimate(config, args: argparse.Namespace) -> dict:
    """Return everything that the command prints: bytes, seconds, tokens."""
    import torch
    from accelerate import PartialState

    from rlvr.planning import cost

    device = PartialState().device
    shape, job, baseline = cost.resolve_job(config, args.completion_length, args.processes)
    free = cost.available(device)
    half = torch.bfloat16 if config.bf16 or config.base_dtype == "bfloat16" else torch.float16
    train = half if config.bf16 or config.fp16 or config.base_dtype == "bfloat16" else torch.float32
    machine = cost.measure_machine(shape, train, config.sampling_precision, device)
    memory = cost.memory_rows(shape, job, baseline, device.type == "cpu")
    seconds, peak = cost.seconds_rows(shape, job, machine), cost.peak(memory)
    evaluation = cost.evaluation_seconds(shape, job, machine)
    return {
        "fits": peak <= free,
        "model": {"spec": config.model, "parameters": shape.parameters, "layers": shape.layers},
        "prompt_tokens": job.prompt,
        "completion_tokens": {"limit": job.tokens, "expected": job.expected},
        "memory": memory,
        "peak": peak,
        "available": free,
        "seconds": seconds,
        "step_seconds": sum(seconds.values()),
        "steps": job.steps,
        "evaluation_seconds": evaluation,
        "total_seconds": job.steps * sum(seconds.values()) + evaluation,
        "machine": vars(machine),
        "advice": [
            {"change": c.what, "peak": c.peak, "step_seconds": c.seconds}
            for c in cost.advise(shape, job, machine, baseline)
        ],
        "notes": list(job.notes),
    }


def lines(numbers: dict) -> list[str]:
    """Return the text of an estimate: the verdict, memory, time, what to change."""
    from rlvr.planning.cost.duration import duration

    fits = "fits" if numbers["fits"] else "does not fit"
    step, peak = numbers["step_seconds"], numbers["peak"]
    length = numbers["completion_tokens"]
    out = [
        f"{fits}: peak {gb(peak)} of {gb(numbers['available'])} available; {step:.1f} s a step, "
        f"{duration(numbers['total_seconds'])} for {numbers['steps']} steps and their evaluations",
        f"{numbers['model']['spec']}: {numbers['model']['parameters']:,} parameters; prompts of "
        f"{numbers['prompt_tokens']:.0f} tokens; completions of at most {length['limit']} (memory), "
        f"{length['expected']:g} on average (time)",
        "",
        "memory",
    ]
    for phase, rows in numbers["memory"].items():
        if any(rows.values()):
            out.append(f"  {phase:<50} {gb(sum(rows.values()))}")
            out += [f"    {name.strip():<48} {gb(size)}" for name, size in rows.items() if size]
    out += [f"  {'peak':<50} {gb(peak)}", "", "time of a step"]
    out += [f"  {name:<50} {value:8.2f} s" for name, value in numbers["seconds"].items()]
    out += [
        f"  {'step':<50} {step:8.2f} s",
        f"  {'evaluations before and after':<50} {numbers['evaluation_seconds']:8.1f} s",
        "",
        "if one thing is changed" + " " * 47 + "peak          step",
    ]
    for c in numbers["advice"]:
        out.append(
            f"  {c['change']:<66} {gb(c['peak'])} {c['peak'] / peak - 1:+5.0%} "
            f"{c['step_seconds']:7.2f} s {c['step_seconds'] / step - 1:+5.0%}"
        )
    return [*out, *(f"note: {note}" for note in numbers["notes"])]


def gb(size: float) -> str:
    """Write bytes in GB (10^9).

    >>> gb(1.5e9)
    '  1.50 GB'
    """
    return f"{size / 1e9:6.2f} GB"
