"""The cost model of `rlvr plan`: memory and seconds of a training step from the model's shape (docs/plan.md)."""

from rlvr.cost.advice import Change, advise
from rlvr.cost.job import Job, job_of
from rlvr.cost.machine import Machine, available, measure
from rlvr.cost.memory import memory_rows, peak
from rlvr.cost.resolve import resolve_job
from rlvr.cost.seconds import evaluation_seconds, seconds_rows
from rlvr.cost.shape import Shape, read_shape, read_tokenizer, shape_of

__all__ = [
    "Change", "Job", "Machine", "Shape", "advise", "available", "evaluation_seconds", "job_of", "measure",
    "memory_rows", "peak", "read_shape", "read_tokenizer", "resolve_job", "seconds_rows", "shape_of",
]  # fmt: skip
