"""Peak memory of one process in bytes: what stays, and what each phase of a step adds. Formulas: docs/plan.md."""

import math

from rlvr.models.forward.head import CHUNK
from rlvr.planning.cost.job import WORD, Job
from rlvr.planning.cost.shape import Shape

SLACK = 1.05  # heap that is never given back and cannot be used again, on everything but the baseline
EXTRA = 0.15e9  # bytes that a run loads on a CPU beyond what `rlvr plan` has: kernels, thread pools, files, the trainer
CHUNK_COPIES = 3  # float32 arrays of (CHUNK, vocabulary) that rlvr/models/forward/head.py holds at once
DRAW_COPIES = 4  # float32 arrays of (rows, vocabulary) while a token is drawn (rlvr/models/sampling/sampler.py)
MERGE_COPIES = 6  # float32 arrays of the largest product while an adapter is merged, joined and packed
COLUMNS_AT_FIRST = 256  # completion columns of a new slot cache (rlvr/models/sampling/reader.py)


def cache_bytes(shape: Shape, rows: int, prompt: int, tokens: int, size: int) -> float:
    """Return the bytes of the slot cache at its largest: layers x 2 x rows x key heads x columns x head size.

    Columns start at prompt + min(tokens, 256) and grow by doubling; while they grow, old and new exist at once.
    """
    columns = prompt + min(tokens, COLUMNS_AT_FIRST)
    old = 0
    while columns < prompt + tokens - 1:  # the last token is drawn, never read
        old, columns = columns, 2 * columns
    return size * shape.layers * 2 * rows * shape.kv_heads * (columns + old) * shape.head_dim


def layer_numbers(shape: Shape, job: Job, tokens: float) -> float:
    """Return the numbers that one layer keeps of a micro-batch for its backward (shared_attention.py: the layout).

    Per position: norms 6 C (4 C where their weights are frozen), MLP 4 F, query, attention output and its copy 3 H D,
    LoRA's inner products r each. Keys and values, repeated for every query head: 2 H D for each position of a prompt,
    and P + T for each completion, which has a mask of T (P + T) besides.
    """
    wide = shape.heads * shape.head_dim
    norms = 4 if job.lora_rank else 6
    adapters = len(shape.products_IO) / shape.layers * job.lora_rank
    own = 0 if _adapters_cast(job) else 1  # inputs of frozen products: kept for the adapters, which have copies
    without_kv = job.positions(tokens) * (norms * shape.width + (2 + own) * wide + (3 + own) * shape.inner + adapters)
    if not job.packed:
        return without_kv + job.positions(tokens) * 2 * wide
    seen = job.prompt + tokens
    return without_kv + 2 * wide * (job.micro_prompts * job.prompt + job.rows * seen) + job.rows * tokens * seen


def activation_bytes(shape: Shape, job: Job, tokens: float) -> float:
    """Return the bytes that one micro-batch keeps between forward and backward (a critic's layers count too).

    Without checkpointing: layers x layer_numbers; with it: every layer's input, and one layer in full. After the
    layers 5 C per position (embedding, last norm, hidden states at the scored tokens).
    """
    one, line = layer_numbers(shape, job, tokens), shape.width * job.positions(tokens)
    layers = shape.layers + job.critic_layers
    size = 2 if job.autocast or job.base_bytes < WORD else WORD
    kept = size * ((layers * line + one if job.checkpointing else layers * one) + 5 * line)
    return kept + adapter_inputs(shape, job, tokens) * (1 if job.checkpointing else layers)


def adapter_inputs(shape: Shape, job: Job, tokens: float) -> float:
    """Return the bytes of one layer's inputs that LoRA keeps again, in its own precision, beside a base in bfloat16.

    Every linear layer's adapter casts its input by itself, and keeps what it multiplied: sum of the inputs' sizes for
    each position, 4 bytes each (2 under autocast).
    """
    if not _adapters_cast(job):
        return 0.0
    inputs = sum(i for i, _ in shape.products_IO) / shape.layers
    return (2 if job.autocast else WORD) * inputs * job.positions(tokens)


def _adapters_cast(job: Job) -> bool:
    return bool(job.lora_rank) and job.base_bytes < WORD


def optimizer_bytes(shape: Shape, job: Job) -> float:
    """Return the bytes of the optimizer's state: so many for each trained number, or Adafactor's rows and columns."""
    if not job.optimizer.startswith("adafactor"):
        return job.moment_bytes * trained(shape, job)
    if job.lora_rank:
        return float(WORD * sum(i + o + 2 * job.lora_rank for i, o in shape.products_IO))
    heads = 1 if shape.tied else 2
    vectors = shape.parameters - shape.body - heads * shape.head  # norms and biases: one number each
    return float(WORD * (sum(i + o for i, o in shape.products_IO) + heads * (shape.vocab + shape.width) + vectors))


def sampling_copy(shape: Shape, job: Job, cpu: bool) -> float:
    """Return the bytes of the packed weights that sample: the body's products, and the head where it is a copy.

    The head is one on a CPU (oneDNN's order) and in another precision; there the embedding is copied too.
    """
    if not job.engine:
        return 0.0
    if not shape.fast:
        return 0.0 if job.sampling_bytes == job.base_bytes else job.sampling_bytes * shape.parameters
    other = job.sampling_bytes != job.base_bytes
    return job.sampling_bytes * (shape.body + shape.head * ((cpu or other) + other))


def trained(shape: Shape, job: Job) -> int:
    """Return how many numbers of the policy the optimizer moves: all of them, or LoRA's."""
    return shape.lora(job.lora_rank) if job.lora_rank else shape.parameters


def critic_numbers(shape: Shape, job: Job) -> float:
    """Return the numbers of a critic: a copy of so many layers (or none), the embedding, and a value head."""
    if not job.critic_layers:
        return 0
    copied = (shape.parameters - shape.head) * job.critic_layers / shape.layers + shape.head if job.critic_own else 0
    return copied + shape.width + 1


def memory_rows(shape: Shape, job: Job, baseline: float, cpu: bool = True) -> dict[str, dict[str, float]]:
    """Return bytes by phase and by what they are for; "always" stands beside each phase.

    Activations go as the gradients come, so the two meet only where earlier micro-batches left theirs.
    """
    trainable, n = trained(shape, job), job.processes
    critic = critic_numbers(shape, job)
    # a separate critic of a LoRA policy trains adapters only
    critic_trained = critic * (trainable / shape.parameters if job.lora_rank else 1)
    rest = shape.parameters - shape.body
    weights = job.linear_bytes * shape.body + job.base_bytes * rest + WORD * shape.lora(job.lora_rank)
    merged = MERGE_COPIES * WORD * max(i * o for i, o in shape.products_IO) if job.lora_rank and job.engine else 0.0
    rows = min(max(job.max_rows, job.group), job.sampled) if job.engine else job.sampled
    always = {
        "Python and libraries": baseline + (EXTRA if cpu else 0.0),
        "weights": weights / n,
        f"optimizer moments ({job.optimizer})": optimizer_bytes(shape, job) / n,
        "packed weights that sample": sampling_copy(shape, job, cpu),
        "reference model (beta > 0)": weights / n if job.reference else 0.0,
        "critic and its moments": WORD * critic + job.moment_bytes * critic_trained,
    }
    sampling = {
        "KV cache": cache_bytes(shape, rows, job.prompt_max, job.tokens, job.sampling_bytes),
        "drawing from the vocabulary": DRAW_COPIES * WORD * rows * shape.vocab,
        "reading the prompts": _prefill(shape, job, min(job.prompts, rows)),
        "weights made anew (LoRA merged, FSDP gathered)": weights if n > 1 else merged,
    }
    labelled = min(CHUNK, job.rows * job.tokens) if shape.own_head else job.rows * job.tokens
    gradients, head = WORD * (trainable + critic_trained) / n, 0 if job.lora_rank else WORD * shape.head
    autocast = 2.0 * (shape.body + shape.head) if job.autocast and job.base_bytes == WORD else 0.0
    forward = {
        "activations of a micro-batch": activation_bytes(shape, job, job.tokens),
        "logits chunk": CHUNK_COPIES * WORD * labelled * shape.vocab,
        "gradient of the head in the making": head,
        "gradients of the micro-batches before": gradients if job.accumulation > 1 else 0.0,
        "low-precision weights of autocast": autocast,
    }
    backward = {
        "gradients": gradients,
        "gradients of head and embedding, to be added": head * (2 if shape.tied else 1),
        "low-precision weights of autocast ": autocast,
    }
    eval_rows = min(max(job.max_rows, job.eval_group), job.eval_rows)
    evaluation = {
        "a second sampler's weights": sampling_copy(shape, job, cpu),
        "KV cache ": cache_bytes(shape, eval_rows, job.prompt_max, job.tokens, job.sampling_bytes),
        "drawing from the vocabulary ": DRAW_COPIES * WORD * eval_rows * shape.vocab,
        "reading the prompts ": _prefill(shape, job, math.ceil(eval_rows / job.eval_group)),
    }
    return {
        "always": always,
        "sampling": sampling,
        "training, end of the forward": forward,
        "training, end of the backward": backward,
        "evaluation": evaluation if job.eval_passes else {},
    }


def _prefill(shape: Shape, job: Job, prompts: int) -> float:
    """Return the bytes of a layer over all prompts that are read together: 3 F + 3 C each position."""
    return job.sampling_bytes * prompts * job.prompt_max * 3 * (shape.inner + shape.width)


def peak(rows: dict[str, dict[str, float]]) -> float:
    """Return the peak in bytes: baseline + SLACK x (what stays + the largest phase).

    >>> always = {"Python and libraries": 10.0, "weights": 20.0}
    >>> peak({"always": always, "sampling": {"a": 40.0}, "training": {"b": 80.0}})
    115.0
    """
    stays = dict(rows["always"])
    baseline = stays.pop("Python and libraries")
    phases = [sum(part.values()) for name, part in rows.items() if name != "always"]
    return baseline + SLACK * (sum(stays.values()) + max(phases))
