"""The cost model against real models, the engine's real cache, peft, one real run, and itself under changes."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rlvr.config.settings import TrainConfig, parse_config
from rlvr.models.load import build_tiny, lora_config, trainable_parameters
from rlvr.models.sampling.llama import LlamaForward
from rlvr.models.sampling.reader import SlotReader
from rlvr.models.sampling.weights import plain_weights
from rlvr.planning.cost import Job, Machine, advise, job_of, memory_rows, peak, read_shape, seconds_rows, shape_of
from rlvr.planning.cost.advice import changes
from rlvr.planning.cost.memory import activation_bytes, cache_bytes, sampling_copy
from rlvr.planning.cost.seconds import decode_flops, prefill_flops, training_flops
from tests.conftest import run_apart

SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
SHAPE = read_shape("tiny")
SPEED = Machine(1e11, ((1, 1e-10), (8, 2e-10), (32, 5e-10), (128, 2e-9)), 1e10, 2e-6)
JOB = Job(
    rows=32, accumulation=2, generations=2, iterations=1, group=8, prompt=40.5, prompt_max=44, tokens=48, expected=24
)


def total(job: Job) -> float:
    return sum(seconds_rows(SHAPE, job, SPEED).values())


def top(job: Job) -> float:
    return peak(memory_rows(SHAPE, job, 0.5e9))


@pytest.mark.parametrize(
    "build",
    [
        lambda: build_tiny(seed=1)[0],
        lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL)),
        lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=8)),
    ],
    ids=["tiny", "qwen2", "gemma2"],
)
def test_shape_from_a_config_is_the_real_models(build, tmp_path):
    model = build()
    model.config.save_pretrained(tmp_path)
    shape = read_shape(str(tmp_path))
    assert shape.parameters == trainable_parameters(model)
    assert shape.tied == (model.lm_head.weight is model.model.embed_tokens.weight)
    linears = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert shape.body + shape.head == linears
    assert shape == shape_of(model)


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_lora_parameters_are_pefts(rank):
    model = get_peft_model(build_tiny()[0], lora_config(rank))
    assert SHAPE.lora(rank) == trainable_parameters(model)


@pytest.mark.parametrize("tokens", [16, 256, 300, 700])
def test_cache_bytes_are_the_engines_own(tokens):
    """A real cache, led to the last position that is read: before growing it is one block, while growing two."""
    model = build_tiny()[0]
    forward = LlamaForward(model, torch.float32)
    forward.refresh(plain_weights(model))
    reader = SlotReader(forward, [[5, 6, 7], [8] * 20], 0, 6, tokens)
    held = old = reader.cache.kv.nbytes
    for column in range(20, 20 + tokens):
        reader.cache.grow(column)
        if reader.cache.kv.nbytes > held:
            held, old = reader.cache.kv.nbytes, held
    grown = held if held == old else held + old
    assert cache_bytes(SHAPE, 6, 20, tokens, 4) == grown


def test_packed_weights_are_the_engines_own():
    model = build_tiny()[0]
    forward = LlamaForward(model, torch.float32)
    forward.refresh(plain_weights(model))
    held = sum(part.weight.nbytes for block in forward.blocks for part in block if hasattr(part, "packed"))
    assert sampling_copy(SHAPE, JOB, cpu=True) == held + forward.head.weight.nbytes


def test_saved_activations_are_autograds():
    """What autograd keeps of a packed pass (parameters, indices and views of one storage aside) is the formula's."""
    from rlvr.models.forward.head import add_scores
    from rlvr.models.forward.packing import pack
    from rlvr.models.forward.shared_attention import share_prompts

    model = build_tiny()[0].train()
    add_scores(model, 1.0)
    assert share_prompts(model)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in own and x.dtype == torch.float32:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    prompt = torch.randint(5, 200, (4, 40)).repeat_interleave(8, 0)
    completion = torch.randint(5, 200, (32, 48))
    packed = pack(prompt, torch.ones_like(prompt), completion, torch.ones_like(completion))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        scores = model(**packed.model_inputs, labels=packed.labels_1L, scores=True)
    assert scores.log_probs.requires_grad
    job = replace(JOB, accumulation=1, generations=1, prompt=40.0)
    assert activation_bytes(SHAPE, job, 48) == pytest.approx(sum(kept.values()), rel=0.1)


def test_twice_the_group_leaves_the_prompts_and_doubles_the_decoding():
    twice = replace(JOB, group=16, rows=64)
    assert prefill_flops(SHAPE, twice) == prefill_flops(SHAPE, JOB)
    assert decode_flops(SHAPE, twice) == 2 * decode_flops(SHAPE, JOB)
    assert training_flops(SHAPE, twice) < 2 * training_flops(SHAPE, JOB)  # prompts are packed


def test_a_shuffled_micro_batch_holds_more_prompts_than_its_share():
    assert replace(JOB, accumulation=1, generations=1).micro_prompts == 4
    assert 4 < JOB.micro_prompts <= 8  # 8 prompts in the batch of 64, 32 rows drawn from it
    assert replace(JOB, packed=False).micro_prompts == 32


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([8, 16, 32, 64]),
    tokens=st.integers(8, 600),
    share=st.floats(0.1, 1.0),
    rank=st.sampled_from([0, 8]),
    checkpointing=st.booleans(),
)
def test_more_rows_and_longer_completions_never_cost_less(rows, tokens, share, rank, checkpointing):
    job = replace(JOB, rows=rows, tokens=tokens, expected=tokens * share, lora_rank=rank, checkpointing=checkpointing)
    longer = replace(job, tokens=tokens + 8, expected=(tokens + 8) * share)
    wider = replace(job, rows=2 * rows)
    for more in (longer, wider):
        assert top(more) >= top(job)
        assert total(more) >= total(job)


def test_lora_and_checkpointing_save_memory():
    assert top(replace(JOB, lora_rank=4)) < top(JOB)
    assert top(replace(JOB, checkpointing=True)) < top(JOB)


def test_the_advice_is_the_models_own_answer():
    found = advise(SHAPE, JOB, SPEED, 0.5e9)
    assert len(found) == len(changes(JOB)) == 6
    assert [c.peak for c in found] == sorted(c.peak for c in found)
    by_name = {c.what: c for c in found}
    half = by_name["num_generations 4, per_device_train_batch_size 16"]
    direct = replace(JOB, group=4, rows=16)
    assert (half.peak, half.seconds) == (top(direct), total(direct))
    lora = by_name["lora_rank 16"]
    assert (lora.peak, lora.seconds) == (top(replace(JOB, lora_rank=16)), total(replace(JOB, lora_rank=16)))


def test_a_config_becomes_a_job():
    flags = [
        "--beta",
        "0.1",
        "--optim",
        "sgd",
        "--gradient_accumulation_steps",
        "4",
        "--gradient_checkpointing",
        "true",
    ]
    config = parse_config(TrainConfig, ["grpo", "tiny"], flags)
    job = job_of(config, SHAPE, [10, 20], None)
    assert (job.prompt, job.prompt_max, job.expected, job.moment_bytes) == (15, 20, 20, 0)
    assert job.reference and job.checkpointing and job.generations == 4
    assert not job_of(
        parse_config(TrainConfig, ["tiny"], ["--beta", "0.1", "--lora_rank", "4"]), SHAPE, [1], None
    ).reference
    assert job_of(config, SHAPE, [10], None, 2).engine is False
    assert (
        "not known"
        in job_of(parse_config(TrainConfig, ["tiny"], ["--optim", "galore_adamw"]), SHAPE, [1], None).notes[0]
    )


def test_the_command_prints_an_estimate_and_its_status(monkeypatch, cli):
    monkeypatch.setattr("rlvr.planning.cost.measure_machine", lambda *args: SPEED)
    done = cli("plan --config grpo tiny")
    assert done.code == 0
    text = done.out
    assert text.startswith("fits: peak")
    assert "completions of at most 40 (memory), 20 on average" in text
    assert "gradient_checkpointing true" in text
    monkeypatch.setattr("rlvr.planning.cost.available", lambda device: 1e6)
    done = cli("plan --config grpo tiny --completion_length 30 --json")
    assert done.code == 1
    found = json.loads(done.out)
    assert found["fits"] is False
    assert found["completion_tokens"] == {"limit": 40, "expected": 30}
    assert found["step_seconds"] == pytest.approx(sum(found["seconds"].values()))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "tinny"], "Did you mean 'tiny'"),
        (["--completion_length", "41"], "must lie in (0, 40]"),
        (["--processes", "0"], "--processes must be at least 1"),
        (["--num_generation", "8"], "num_generations"),
    ],
)
def test_bad_input(flags, message, cli):
    done = cli("plan --config grpo tiny", *flags)
    assert done.code == 2
    assert message in done.err


@pytest.mark.slow
def test_memory_of_a_real_run_is_within_a_quarter(tmp_path):
    flags = ["--config", "grpo", "tiny", "--sft_steps", "0", "--eval_size", "0", "--skip_silent_rows", "false"]
    run = [*flags, "--max_steps", "2", "--no_report", "--output_dir", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "rlvr", "train", *run], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    found = json.loads(run_apart("plan", *flags, "--json").out)
    assert found["peak"] == pytest.approx(usage.ru_maxrss * 1024, rel=0.25)
