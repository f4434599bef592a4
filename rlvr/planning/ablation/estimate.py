"""Estimate an ablation for `rlvr ablate --dry_run`: how the arms differ, and how long all takes."""

from pathlib import Path

import torch
from accelerate import PartialState

from rlvr.config.settings import TrainConfig, build_config
from rlvr.planning import cost
from rlvr.planning.ablation.arms import Ablation
from rlvr.planning.ablation.check import Resolved
from rlvr.planning.ablation.folder import finished, run_folder
from rlvr.planning.cost.duration import duration


def run_seconds(ablation: Ablation, resolved: Resolved) -> dict[str, tuple[int, float, float]]:
    """Return arm -> steps, seconds of a step, seconds of its evaluations, of one run on this machine.

    Neither start-up nor warm-up is in it. Each pair of model and precision is measured once, which takes seconds.
    """
    machines: dict[tuple, cost.Machine] = {}
    found = {}
    for arm, (shape, job, _) in resolved.items():
        config = build_config(TrainConfig, dict(next(run.settings for run in ablation.runs if run.arm == arm)))
        train = torch.bfloat16 if config.bf16 else torch.float16 if config.fp16 else torch.float32
        key = (shape, train, config.sampling_precision)
        if key not in machines:
            machines[key] = cost.measure(shape, train, config.sampling_precision, PartialState().device)
        machine = machines[key]
        step = sum(cost.seconds_rows(shape, job, machine).values())
        found[arm] = (job.steps, step, cost.evaluation_seconds(shape, job, machine))
    return found


def differing(ablation: Ablation, arm: str) -> list[str]:
    """Name each setting in which an arm differs from the baseline, with both values."""
    ours, theirs = (next(run.settings for run in ablation.runs if run.arm == name) for name in (arm, ablation.baseline))
    keys = [key for key in dict.fromkeys([*theirs, *ours]) if ours.get(key) != theirs.get(key)]
    text = [{key: str(side[key]) if key in side else "its default" for key in keys} for side in (ours, theirs)]
    return [f"{key}: {text[0][key]} ({ablation.baseline}: {text[1][key]})" for key in keys]


def dry_run(ablation: Ablation, folder: Path, resolved: Resolved) -> str:
    """Return what would be trained: each arm with its differing settings and its time, then the runs."""
    seconds = run_seconds(ablation, resolved)
    lines, total = [], 0.0
    for arm in ablation.arms:
        steps, step, evaluations = seconds[arm]
        of_run = steps * step + evaluations
        todo = [r for r in ablation.runs if r.arm == arm and not finished(run_folder(r, folder))]
        total += of_run * len(todo)
        lines += [
            f"{arm}: {duration(of_run)} a run: {steps} steps of {step:.1f} s, evaluations {evaluations:.0f} s"
            + (" (baseline)" if arm == ablation.baseline else ""),
            *(f"    {line}" for line in differing(ablation, arm)),
        ]
    left = sum(not finished(run_folder(run, folder)) for run in ablation.runs)
    lines += [
        "",
        f"{left} of {len(ablation.runs)} runs to train, about {duration(total)} one after the other "
        "(without start-up and warm-up):",
        *(run.name for run in ablation.runs),
    ]
    return "\n".join(lines)
