"""Seconds of one optimizer step, and of an evaluation, on a measured machine. Formulas and constants: docs/plan.md."""

from rlvr.planning.cost.job import WORD, Job
from rlvr.planning.cost.memory import critic_numbers, sampling_copy, trained
from rlvr.planning.cost.shape import Shape
from rlvr.planning.cost.speed import Machine

EFFICIENCY = 0.8  # of the measured products' speed that sampling and training reach
DECODE_OPS = 250  # smallest operations that one layer of a decoding step is worth (about 45 larger ones)
OVERHEAD = 0.1  # seconds of a step outside model and sampler: TRL, verification, files, logging


def prefill_flops(shape: Shape, job: Job) -> float:
    """Return the operations of reading every prompt of a generation batch once: independent of G."""
    return 2.0 * shape.body * job.prompts * job.prompt + 2.0 * shape.head * job.prompts


def decode_flops(shape: Shape, job: Job) -> float:
    """Return the operations of decoding a generation batch: 2 (body + head) for each token."""
    return 2.0 * (shape.body + shape.head) * job.sampled * job.expected


def training_flops(shape: Shape, job: Job) -> float:
    """Return the operations of one micro-batch, forward and backward.

    Body: 3 x 2 body x positions (2 x where LoRA's base needs no weight gradient), + 1 with checkpointing, + 1/3 of it
    for each forward without a gradient (reference, old log-probabilities). Attention: 4 H D (P + T) per position and
    layer. Head: 4 x 2 V C per scored token (its backward makes the logits again). A critic adds its layers.
    """
    positions = job.positions(job.expected)
    passes = (2 if job.lora_rank else 3) + job.checkpointing
    other = int(job.reference) + _old_logps(job)
    attention = 2 * shape.heads * shape.head_dim * (job.prompt + job.expected) * shape.layers
    body = 2.0 * (shape.body + attention) * positions * (1 + job.critic_layers / shape.layers)
    head = 2.0 * shape.head * job.rows * job.expected
    return passes * body + (3 if job.lora_rank else 4) * head + other * (body + head)


def _old_logps(job: Job) -> int:
    """Return the forwards for old log-probabilities: one where a batch serves several updates, sampler's not exact."""
    serves = job.accumulation % (job.generations * job.iterations) != 0
    return int(serves and (job.autocast or job.sampling_bytes != WORD or job.base_bytes != WORD or not job.engine))


def _sampling(shape: Shape, job: Job, machine: Machine, rows: int, prompts: int) -> float:
    """Return the seconds of one call of the sampler: the prompts, then steps x max(products, bandwidth)."""
    slots = min(max(job.max_rows, job.group), rows)
    steps = max(job.tokens, rows * job.expected / slots)
    live = rows * job.expected / steps
    prefill = 2.0 * (shape.body * prompts * job.prompt + shape.head * prompts) / (EFFICIENCY * machine.train_flops)
    numbers = shape.body + shape.head
    columns = job.prompt + job.expected / 2
    cache = job.sampling_bytes * 2 * shape.layers * shape.kv_heads * shape.head_dim * columns * live
    products = max(machine.decode_seconds(numbers, live) / EFFICIENCY, job.sampling_bytes * numbers / machine.bandwidth)
    return prefill + steps * (products + cache / machine.bandwidth + DECODE_OPS * shape.layers * machine.launch)


def seconds_rows(shape: Shape, job: Job, machine: Machine) -> dict[str, float]:
    """Return the seconds of one optimizer step, by what they are for."""
    trainable = trained(shape, job) + (0 if job.lora_rank else critic_numbers(shape, job))
    micro = training_flops(shape, job) / (EFFICIENCY * machine.train_flops)
    copied = sampling_copy(shape, job, machine.device == "cpu")
    return {
        "sampling": job.sampler_calls * _sampling(shape, job, machine, job.sampled, job.prompts),
        "weights to the sampler": job.sampler_calls * 6 * copied / machine.bandwidth,
        "training passes": job.accumulation * micro,
        "optimizer": (3 * WORD + 2 * WORD + 2 * job.moment_bytes) * trainable / job.processes / machine.bandwidth,
        "everything else": OVERHEAD,
    }


def evaluation_seconds(shape: Shape, job: Job, machine: Machine) -> float:
    """Return the seconds of all evaluations of a run, before and after training."""
    if not job.eval_passes:
        return 0.0
    return job.eval_passes * _sampling(shape, job, machine, job.eval_rows, max(1, job.eval_rows // job.eval_group))
