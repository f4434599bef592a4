"""The cost model of `rlvr plan`: memory and seconds of a training step from the model's shape (docs/plan.md)."""

from rlvr.planning.cost.advice import Change, advise
from rlvr.planning.cost.from_config import resolve_job
from rlvr.planning.cost.job import Job, job_of
from rlvr.planning.cost.memory import memory_rows, peak
from rlvr.planning.cost.seconds import evaluation_seconds, seconds_rows
from rlvr.planning.cost.shape import Shape, read_shape, read_tokenizer, shape_of
from rlvr.planning.cost.speed import Machine, available, measure_machine

measure = measure_machine  # its name before 2026-11-24

__all__ = [
    "Change", "Job", "Machine", "Shape", "advise", "available", "evaluation_seconds", "job_of", "measure_machine",
    "memory_rows", "peak", "read_shape", "read_tokenizer", "resolve_job", "seconds_rows", "shape_of",
]  # fmt: skip
