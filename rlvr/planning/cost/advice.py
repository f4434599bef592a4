"""Advise what to change: ask the cost model again, with one setting changed."""

from dataclasses import dataclass, replace

from rlvr.planning.cost.job import WORD, Job
from rlvr.planning.cost.memory import memory_rows, peak
from rlvr.planning.cost.seconds import seconds_rows
from rlvr.planning.cost.shape import Shape
from rlvr.planning.cost.speed import Machine


@dataclass(frozen=True)
class Change:
    """Hold one changed setting and what the model says of it: peak in bytes, seconds of a step."""

    what: str
    job: Job
    peak: float
    seconds: float


def changes(job: Job) -> dict[str, Job]:
    """Return the jobs that differ in one setting, by what was changed; what cannot go lower is left out."""
    jobs: dict[str, Job] = {}
    if job.rows > 1 and job.rows % 2 == 0:
        factor = 2 if job.generations == job.accumulation else 1
        jobs[f"per_device_train_batch_size {job.rows // 2}, gradient_accumulation_steps {2 * job.accumulation}"] = (
            replace(job, rows=job.rows // 2, accumulation=2 * job.accumulation, generations=factor * job.generations)
        )
    if job.group >= 4 and job.group % 2 == 0:  # as many prompts, half the completions of each
        name = f"num_generations {job.group // 2}"
        if job.rows % 2 == 0:
            fewer = replace(job, group=job.group // 2, rows=job.rows // 2)
            jobs[f"{name}, per_device_train_batch_size {job.rows // 2}"] = fewer
    if job.tokens > 1:
        jobs[f"max_completion_length {job.tokens // 2}"] = replace(
            job, tokens=job.tokens // 2, expected=min(job.expected, job.tokens // 2)
        )
    if not job.lora_rank:
        jobs["lora_rank 16"] = replace(job, lora_rank=16, reference=False)
    if job.lora_rank and job.autocast and job.base_bytes == WORD:
        jobs["base_dtype bfloat16"] = replace(job, base_bytes=2, linear_bytes=min(2, job.linear_bytes))
    if not job.checkpointing:
        jobs["gradient_checkpointing true"] = replace(job, checkpointing=True)
    if not job.critic_layers:
        jobs[f"FSDP over {2 * job.processes} processes, twice the batch"] = replace(
            job, processes=2 * job.processes, engine=False
        )
    return jobs


def advise(shape: Shape, job: Job, machine: Machine, baseline: float) -> list[Change]:
    """Return every change with its peak and its seconds, the one that saves most memory first (then most time)."""
    cpu = machine.device == "cpu"
    options = [
        Change(what, new, peak(memory_rows(shape, new, baseline, cpu)), sum(seconds_rows(shape, new, machine).values()))
        for what, new in changes(job).items()
    ]
    return sorted(options, key=lambda change: (change.peak, change.seconds))
