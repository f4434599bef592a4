"""Hold rlvr's own settings of a run, apart from TRL's: `rlvr train --help` lists them without importing TRL."""

from dataclasses import dataclass

from rlvr.config.fields import setting
from rlvr.core.parse import TAGS
from rlvr.models.choices import PACKAGED

# Settings of TRL's GRPOConfig that most runs change; there are over two hundred (`rlvr train --help all`).
TRL_SETTINGS = (
    "learning_rate", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length",
    "temperature", "beta", "loss_type", "num_iterations", "seed", "save_strategy", "save_steps",
)  # fmt: skip


@dataclass
class RunSettings:
    """Hold the settings that rlvr adds to TRL's GRPOConfig, and those of TRL's whose default it changes."""

    # The model
    model: str = setting(PACKAGED, "Model spec: smollm2-135m-instruct, tiny, a local folder, or a hub id.")
    lora_rank: int = setting(0, "LoRA rank on every linear layer; 0 trains all weights.")
    attn_implementation: str = setting(
        "auto", "Attention: auto (transformers' choice), eager, sdpa, flash_attention_2."
    )
    revision: str | None = setting(None, "Branch, tag or commit of a hub model; None takes its main branch.")
    base_dtype: str = setting("float32", "Precision of the frozen base's weights under LoRA: float32, bfloat16.")
    quantize: str = setting("none", "Frozen base under LoRA in 4 bits: none, nf4 (pip install 'rlvr[quantize]').")
    # BEFORE: the problems
    data: str = setting("arithmetic", "Problem set spec, e.g. 'arithmetic(levels=[0, 1, 2])'.")
    train_size: int = setting(1024, "Training problems.")
    answer_format: str = setting(
        "tags", "How answers are given: tags, boxed, last_number, regex(pattern='..'); docs/answers.md."
    )
    tags: list[str] = setting(
        ["think", "answer", "confidence"], f"Tags that answer_format tags asks for, of {', '.join(TAGS)}."
    )
    system_prompt: str | None = setting(
        None, "System message; None derives a short one from answer_format, '' sends none."
    )
    chat_template: str | None = setting(
        None, "Chat template in place of the model's own: chatml, or a file with a Jinja template; docs/models.md."
    )
    profile_n: int = setting(0, "Samples per training problem that start the pass-rate record; 0 profiles nothing.")
    # The warm-up that teaches the form of answer
    sft_steps: int = setting(0, "Supervised warm-up steps before training; 0 skips it. Cached.")
    sft_batch_size: int = setting(16, "Worked solutions per warm-up step.")
    sft_data: str | None = setting(None, "JSONL of worked rows (prompt, completion); None takes the set's solutions.")
    sft_learning_rate: float = setting(5e-5, "Peak learning rate of the warm-up.")
    # DURING: the signal
    rewards: dict | str | None = setting(
        {"correct": 1.0},
        'Reward terms and their weights, as YAML or JSON: \'{"correct": 0.5, "brier": 0.5}\'.',
    )
    allow_hackable: bool = setting(False, "Train even if some wrong completion can earn more than a right one.")
    advantage: str = setting("grpo", "Advantage specs, applied in order: 'grpo, drop_near_impossible(threshold=0.05)'.")
    dynamic_sampling_tries: int = setting(
        0, "Tries to replace all-right and all-wrong groups by fresh problems' (DAPO); 0 is off."
    )
    difficulty_band: list[float] = setting(
        [], "Draw problems whose pass rate lies in [low, high]; [] is a fixed order."
    )
    difficulty_floor: float = setting(
        0.2, "Share of the draws that ignores the band, so that no problem is locked out."
    )
    max_rollouts: int = setting(0, "End training before more completions than this are sampled; 0 is no limit.")
    min_mixed_groups: float = setting(
        0.0, "Take no step where less than this share of a batch's groups holds right and wrong completions."
    )
    record_discount: float = setting(1.0, "Factor on the pass-rate record's counts at each batch; 1 forgets nothing.")
    stop_on_collapse: bool = setting(
        False, "End training at the first alarm of a collapse (rlvr/training/callbacks/alarms.py)."
    )
    brier_coef: float = setting(
        0.0, "Weight of a loss on the stated confidence: its expected Brier score, from the logits; 0 is off."
    )
    # The critic of PPO (rlvr/training/critic.py)
    critic: str = setting("none", "Value head: none, shared (on the policy's body), separate (on a copy of it).")
    critic_layers: int = setting(0, "Layers of the policy's body that a separate critic copies; 0 copies all.")
    critic_learning_rate: float = setting(1e-4, "Learning rate of the critic; follows the policy's schedule.")
    value_coef: float = setting(0.5, "Weight of the critic's loss beside the policy's.")
    value_clip: float = setting(0.2, "How far a value may move from the sampling one, in reward units; 0 is freely.")
    # Measuring
    eval_data: list[str] = setting([], "Problem set specs to measure on; none means the test split of `data`.")
    eval_size: int = setting(120, "Problems per evaluation set; 0 measures nothing.")
    eval_n: int = setting(8, "Samples per evaluation problem.")
    eval_temperature: float = setting(1.0, "Sampling temperature of the evaluation.")
    eval_exact: bool = setting(
        False, "Compute each problem's chance too, where one text alone is right; pass@k then has no sampling noise."
    )
    # Measuring while it trains, on the validation split of `data` (docs/measure.md)
    eval_every: int = setting(0, "Measure on validation problems at the start and every so many steps; 0 does not.")
    eval_every_size: int = setting(0, "Validation problems of these evaluations; 0 takes eval_size.")
    eval_every_n: int = setting(2, "Samples per validation problem.")
    keep_best: bool = setting(False, "Keep the model of the step with the best validation pass@1, not of the last.")
    # Where it goes
    output_dir: str | None = setting(None, "Run directory; None makes runs/<recipe>-<model>-s<seed>-<time>.")
    # Seeds: `seed` is the model's; these default to it
    sampling_seed: int | None = setting(None, "Seed of the sampled completions; None takes `seed`.")
    eval_seed: int = setting(1234, "Seed of the evaluation's problems and samples; the same for every run.")
    data_size_seed: int = setting(0, "Seed of the problem generator (which problems exist, not their order).")
    # Engine room
    sampling_dtype: str = setting("auto", "Precision that samples: auto (bfloat16 if bf16), float32, bfloat16.")
    engine: str = setting("rlvr", "Who samples: rlvr (shared prefill, in process) or trl (its own options, vLLM too).")
    pack_prompts: bool = setting(True, "Compute each prompt once for its group in the training pass, where exact.")
    skip_silent_rows: bool = setting(True, "Leave rows that add exactly zero to the gradient out of the forward.")
    verify_timeout: float = setting(2.0, "Wall-clock limit of one verification, in seconds.")
    reward_timeout: float = setting(10.0, "Wall-clock limit of one call of a reward term of your own, in seconds.")
    max_bad_updates: int = setting(3, "End the run after so many updates in a row whose gradient is not finite.")
    log_rollouts: bool = setting(True, "Write every completion to rollouts/*.parquet, and the texts of evaluations.")
    bf16: bool | None = setting(None, "bfloat16 autocast in training; None takes it where it is fast.")
    # TRL's defaults that do not suit a small model on a small machine
    num_generations: int | None = setting(8, "Completions per prompt (G).")
    gradient_checkpointing: bool = setting(False, "Recompute activations to save memory.")
    warmup_steps: float | None = setting(
        None, "Updates in which the learning rate rises (below 1: a share); None: a tenth of them, at most 10."
    )  # type: ignore[assignment]
    logging_steps: float = setting(1.0, "Log every so many steps.")
    report_to: None | str | list[str] = setting("none", "Trackers: none, wandb, trackio, tensorboard, ...")
    disable_tqdm: bool | None = setting(True, "rlvr prints one line per step instead of a bar.")
    save_only_model: bool = setting(False, "Leave optimizer state out of checkpoints (no resume).")
