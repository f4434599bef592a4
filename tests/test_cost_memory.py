"""What the cost model says of a base in less memory and of optimizers, against real models, autograd and optimizers."""

import importlib.util
import warnings
from dataclasses import replace

import pytest
import torch
from peft import get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.optimization import Adafactor

from rlvr.config.settings import TrainConfig, parse_config
from rlvr.models.forward.head import add_scores
from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import share_prompts
from rlvr.models.frozen import four_bit_layers
from rlvr.models.load import build_tiny, load_model, lora_config, tiny_tokenizer, without_adapters
from rlvr.planning.cost import Job, job_of, memory_rows, peak, read_shape
from rlvr.planning.cost.advice import changes
from rlvr.planning.cost.job import NF4_BYTES
from rlvr.planning.cost.memory import activation_bytes, optimizer_bytes

SHAPE = read_shape("tiny")
JOB = Job(
    rows=32, accumulation=1, generations=1, iterations=1, group=8, prompt=40.0, prompt_max=40, tokens=48, expected=24
)


def held(model) -> int:
    return sum(p.nbytes for p in model.parameters())


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_the_weights_are_the_real_models(dtype, size):
    policy = get_peft_model(load_model("tiny", dtype=dtype)[0], lora_config(4))
    job = replace(JOB, lora_rank=4, base_bytes=size, linear_bytes=size)
    assert memory_rows(SHAPE, job, 0.0)["always"]["weights"] == held(policy)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_over_a_base_in_bfloat16_are_autograds(checkpointing):
    """Adapters keep each input again in float32: more than a base in float32 would, whose inputs they share."""
    policy = get_peft_model(load_model("tiny", dtype=torch.bfloat16)[0], lora_config(4)).train()
    base = without_adapters(policy)
    if checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        policy.enable_input_require_grads()
    add_scores(base, 1.0)
    assert share_prompts(policy)
    own = {p.untyped_storage().data_ptr() for p in policy.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in own and x.is_floating_point():
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage()
        return x

    prompt = torch.randint(5, 200, (4, 40)).repeat_interleave(8, 0)
    completion = torch.randint(5, 200, (32, 48))
    packed = pack(prompt, torch.ones_like(prompt), completion, torch.ones_like(completion))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        scores = policy(**packed.model_inputs, labels=packed.labels_1L, scores=True)
    assert scores.log_probs.requires_grad
    job = replace(JOB, lora_rank=4, base_bytes=2, linear_bytes=2, checkpointing=checkpointing)
    found = sum(storage.nbytes() for storage in kept.values())
    if checkpointing:  # what is computed again comes in the backward: here only each layer's input, and the end
        line = SHAPE.width * job.positions(48) * 2
        assert SHAPE.layers * line <= found <= activation_bytes(SHAPE, job, 48)
    else:
        assert activation_bytes(SHAPE, job, 48) == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("rank", [0, 4])
def test_adafactors_state_is_the_real_optimizers(rank):
    model = build_tiny()[0]
    model = get_peft_model(model, lora_config(rank)) if rank else model
    optimizer = Adafactor(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3, scale_parameter=False, relative_step=False
    )
    model(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    optimizer.step()
    tensors = [v for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v) and v.dim()]
    job = replace(JOB, optimizer="adafactor", lora_rank=rank)
    assert optimizer_bytes(SHAPE, job) == sum(t.nbytes for t in tensors)
    assert optimizer_bytes(SHAPE, job) < 0.3 * optimizer_bytes(SHAPE, replace(job, optimizer="adamw", moment_bytes=8))


@pytest.mark.parametrize(
    ("optim", "size"),
    [
        ("adamw_torch_fused", 8), ("adamw_8bit", 2), ("paged_adamw_8bit", 2), ("adamw_bnb_8bit", 2), ("sgd", 0),
        ("paged_adamw_32bit", 8), ("lion_8bit", 1), ("rmsprop_bnb_8bit", 1), ("ademamix_8bit", 3),
    ],
)  # fmt: skip
def test_the_optimizers_state_follows_its_name(optim, size):
    config = parse_config(TrainConfig, ["grpo", "tiny"], ["--optim", optim])
    job = job_of(config, SHAPE, [10], None)
    assert (optimizer_bytes(SHAPE, job), job.notes) == (size * SHAPE.parameters, ())


def test_settings_become_bytes():
    flags = ["--lora_rank", "8", "--base_dtype", "bfloat16"]
    job = job_of(parse_config(TrainConfig, ["grpo", "tiny"], flags), SHAPE, [10], None)
    assert (job.base_bytes, job.linear_bytes) == (2, 2)
    four = job_of(parse_config(TrainConfig, ["grpo", "tiny"], [*flags, "--quantize", "nf4"]), SHAPE, [10], None)
    assert (four.base_bytes, four.linear_bytes) == (2, NF4_BYTES)
    whole = replace(job, base_bytes=4, linear_bytes=4)
    assert (
        peak(memory_rows(SHAPE, four, 0.0)) < peak(memory_rows(SHAPE, job, 0.0)) < peak(memory_rows(SHAPE, whole, 0.0))
    )
    assert "base_dtype bfloat16" in changes(replace(whole, autocast=True))
    assert "base_dtype bfloat16" not in changes(replace(job, autocast=True))


def test_the_plan_refuses_what_training_would(cli):
    done = cli("plan --config grpo tiny --base_dtype bfloat16")
    assert done.code == 2
    assert "is for a frozen base" in done.err


@pytest.fixture(scope="module")
def qwen25_15b(tmp_path_factory):
    """The shape of Qwen2.5-1.5B-Instruct as its config gives it, with a tokenizer; no weights."""
    folder = tmp_path_factory.mktemp("hub") / "Qwen2.5-1.5B-Instruct"
    config = Qwen2Config(
        vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
        num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=True, rope_theta=1e6,
        rms_norm_eps=1e-6, use_sliding_window=False, sliding_window=32768, max_window_layers=21,
    )  # fmt: skip
    with torch.device("meta"):
        assert Qwen2ForCausalLM(config).num_parameters() == 1_543_714_304  # as published: 1.54B
    config.architectures = ["Qwen2ForCausalLM"]
    config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_the_recipe_for_24_gb_fits_24_gb(qwen25_15b):
    config = parse_config(TrainConfig, ["grpo", "qwen25_15b_24gb"], ["--model", str(qwen25_15b)])
    shape = read_shape(config.model)
    assert shape.fast and shape.packs and shape.own_head
    prompts = [120] * 8  # more than a question of GSM8K with its system message has
    job = job_of(config, shape, prompts, None)
    on_a_gpu = memory_rows(shape, job, 0.0, cpu=False)
    assert on_a_gpu["always"]["weights"] == 2 * shape.parameters + 4 * shape.lora(32)
    assert peak(on_a_gpu) < 20e9  # the rest is for CUDA, its libraries and what the allocator cannot use
    plain = replace(job, base_bytes=4, linear_bytes=4, checkpointing=False)
    assert peak(memory_rows(shape, plain, 0.0, cpu=False)) > 24e9  # without them it would not
    assert not config.use_vllm and not config.sft_steps  # a warm-up trains all weights in float32


def test_a_base_in_4_bits_is_counted_as_it_is():
    if importlib.util.find_spec("bitsandbytes") is None:
        reason = "no bitsandbytes: pip install 'rlvr[quantize]' to try the tests of 4-bit bases and 8-bit optimizers"
        warnings.warn(reason, stacklevel=2)
        pytest.skip(f"SKIPPED: {reason}")
    import bitsandbytes as bnb

    model, _ = load_model("tiny", quantize="nf4")
    states = [layer.weight.quant_state for layer in four_bit_layers(model)]
    scales = sum(s.absmax.nbytes + s.state2.absmax.nbytes for s in states)  # code tables and offsets apart
    job = replace(JOB, linear_bytes=NF4_BYTES)
    assert memory_rows(SHAPE, job, 0.0)["always"]["weights"] == pytest.approx(held(model) + scales, rel=0.01)
    weight = torch.nn.Parameter(torch.randn(256, 512))
    weight.grad = torch.randn_like(weight)
    optimizer = bnb.optim.AdamW8bit([weight])
    optimizer.step()
    tensors = [v for k, v in optimizer.state[weight].items() if torch.is_tensor(v) and not k.startswith("qmap")]
    assert sum(t.nbytes for t in tensors) == pytest.approx(2 * weight.numel(), rel=0.04)
