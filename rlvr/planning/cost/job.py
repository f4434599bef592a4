"""What one process does in a step, as numbers: the settings of a run and the lengths of its prompts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rlvr.config.settings import TrainConfig
from rlvr.core.errors import SpecError
from rlvr.planning.cost.shape import Shape

# Bytes of optimizer state per trained number, by the start of the optimizer's name; the longest match counts.
MOMENT_BYTES = {
    "adamw": 8, "adamw_8bit": 2, "adamw_bnb_8bit": 2, "paged_adamw_8bit": 2, "paged_adamw": 8, "sgd": 0, "adagrad": 4,
    "rmsprop": 4, "lion": 4, "lion_8bit": 1, "paged_lion": 4, "paged_lion_8bit": 1, "adafactor": 0, "stable_adamw": 8,
    "adamw_torch_8bit": 2, "adamw_torch_4bit": 1, "rmsprop_bnb_8bit": 1, "ademamix": 12, "ademamix_8bit": 3,
    "paged_ademamix_32bit": 12, "paged_ademamix_8bit": 3,
}  # fmt: skip
WORD = 4  # bytes of a float32
# NF4 with its scales quantised: half a byte, one byte for 64 numbers, a float32 for 256 of those
NF4_BYTES = 1 / 2 + 1 / 64 + 4 / (64 * 256)


@dataclass(frozen=True)
class Job:
    """Hold one process's share of a run: lengths in tokens, `rows` the completions of one micro-batch.

    `expected` is the mean length of a completion, `tokens` its limit; `sampling_bytes` and `autocast` are the
    precision that samples and whether training runs under autocast; `critic_layers` counts the layers that a critic
    passes (its own or the policy's), `critic_own` says whether they are a copy. `base_bytes` are those of a number of
    the base's weights, `linear_bytes` of its linear layers (the head apart), which may be in 4 bits.
    """

    rows: int
    accumulation: int
    generations: int
    iterations: int
    group: int
    prompt: float
    prompt_max: int
    tokens: int
    expected: float
    lora_rank: int = 0
    checkpointing: bool = False
    processes: int = 1
    optimizer: str = "adamw_torch_fused"
    moment_bytes: float = 8
    sampling_bytes: int = 4
    autocast: bool = False
    engine: bool = True
    packed: bool = True
    reference: bool = False
    critic_layers: int = 0
    critic_own: bool = False
    max_rows: int = 256
    eval_rows: int = 0
    eval_group: int = 1
    eval_passes: int = 0
    steps: int = 1
    base_bytes: float = WORD
    linear_bytes: float = WORD
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def sampled(self) -> int:
        """Return the completions that one call of the sampler makes: a generation batch."""
        return self.rows * self.generations

    @property
    def sampler_calls(self) -> float:
        """Return the calls of the sampler per optimizer step (below 1 where a batch serves several steps)."""
        return self.accumulation / (self.generations * self.iterations)

    @property
    def prompts(self) -> int:
        """Return the distinct prompts of a generation batch."""
        return max(1, self.sampled // self.group)

    @property
    def micro_prompts(self) -> float:
        """Return the distinct prompts expected in a micro-batch: TRL shuffles a generation batch before it splits it.

        U (1 - C(N - G, B) / C(N, B)), U prompts, N = U G completions, B rows; without packing, one for each row.
        """
        if not self.packed:
            return self.rows
        if self.generations == 1:
            return self.prompts
        missing = math.comb(max(0, self.sampled - self.group), self.rows) / math.comb(self.sampled, self.rows)
        return self.prompts * (1 - missing)

    def positions(self, tokens: float) -> float:
        """Return the positions of one training pass if every completion has `tokens` tokens (packing.py)."""
        if not self.packed:
            return self.rows * (self.prompt + tokens)
        return self.micro_prompts * (self.prompt - 1) + self.rows * (tokens + 1)


def job_of(
    config: TrainConfig, shape: Shape, prompts: Sequence[int], expected: float | None, processes: int = 1
) -> Job:
    """Return the job of a config: `prompts` are the lengths of some of its prompts, in tokens.

    `expected` None takes half of max_completion_length. Raises SpecError for lengths that cannot be.
    """
    limit = config.max_completion_length or 0
    if processes < 1:
        raise SpecError(f"--processes must be at least 1, got {processes}.")
    if expected is not None and not 0 < expected <= limit:
        raise SpecError(f"--completion_length must lie in (0, {limit}] (max_completion_length), got {expected}.")
    optimizer = str(getattr(config.optim, "value", config.optim))
    known = [name for name in MOMENT_BYTES if optimizer.startswith(name)]
    notes = []
    if not known:
        notes.append(f"optimizer {optimizer!r} is not known here: counted like AdamW, 8 bytes per trained number")
    engine = config.engine == "rlvr" and not config.use_vllm and processes == 1
    if config.use_vllm:
        notes.append("vLLM's weights and cache are not counted (see vllm_gpu_memory_utilization)")
    if processes > 1:
        notes.append(
            f"{processes} processes with FSDP: weights, gradients and moments divided, gathered whole while sampling; "
            "each has a GPU or machine like this one, and communication takes no time here"
        )
    if config.dynamic_sampling_tries:
        notes.append("dynamic sampling may sample again up to dynamic_sampling_tries times: not counted")
    layers = 0 if config.critic == "none" else (config.critic_layers or shape.layers)
    rank = config.lora_rank or shape.adapter_rank
    generations = config.steps_per_generation or config.gradient_accumulation_steps
    sampled = config.per_device_train_batch_size * generations * processes
    base_bytes = 2 if config.base_dtype == "bfloat16" else WORD
    steps = config.max_steps
    if steps <= 0:
        batches = math.ceil(config.num_train_epochs * config.train_size * (config.num_generations or 1) / sampled)
        steps = math.ceil(batches * generations * config.num_iterations / config.gradient_accumulation_steps)
    return Job(
        rows=config.per_device_train_batch_size,
        accumulation=config.gradient_accumulation_steps,
        generations=generations,
        iterations=config.num_iterations,
        group=config.num_generations or 1,
        prompt=sum(prompts) / len(prompts),
        prompt_max=max(prompts),
        tokens=limit,
        expected=limit / 2 if expected is None else expected,
        lora_rank=rank,
        checkpointing=bool(config.gradient_checkpointing),
        processes=processes,
        optimizer=optimizer,
        moment_bytes=MOMENT_BYTES[max(known, key=len)] if known else 8,
        sampling_bytes=config.sampling_precision.itemsize,
        autocast=bool(config.bf16 or config.fp16),
        engine=engine,
        packed=bool(config.pack_prompts and shape.packs),
        reference=bool(config.beta) and not rank,
        critic_layers=layers,
        critic_own=config.critic == "separate",
        eval_rows=config.eval_size * config.eval_n,
        eval_group=config.eval_n,
        eval_passes=2 * len(config.eval_specs) if config.eval_size else 0,
        steps=steps,
        base_bytes=base_bytes,
        linear_bytes=NF4_BYTES if config.quantize == "nf4" else base_bytes,
        notes=tuple(notes),
    )
