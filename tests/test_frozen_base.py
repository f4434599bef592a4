"""A frozen base in less memory, in bfloat16 or 4 bits: loaded, trained beside, sampled from by the engine."""

import copy
import importlib.util
import warnings

import pytest
import torch
from safetensors.torch import load_file

import rlvr
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import ModelError, SpecError
from rlvr.models.frozen import check_bitsandbytes, computing_in, dense, four_bit_layers
from rlvr.models.load import load_model, lora_config, without_adapters
from rlvr.models.sampling import Engine, Sampling
from rlvr.models.sampling.weights import plain_weights
from rlvr.planning.parts import check_needs
from rlvr.runs.directory import read_metrics
from tests.greedy import PROMPTS, reference

pytestmark = pytest.mark.usefixtures("cache")
RUN = (
    "train --config grpo tiny --sft_steps 0 --max_steps 2 --eval_size 4 --eval_n 2 --train_size 16 --no_report "
    "--per_device_train_batch_size 16 --num_generations 4 --max_completion_length 8 --learning_rate 1e-2 "
    "--rewards '{\"random_control\": 1}' --allow_hackable true"
)


@pytest.fixture
def bitsandbytes():
    """The package, or a loud skip."""
    if importlib.util.find_spec("bitsandbytes") is None:
        reason = "no bitsandbytes: pip install 'rlvr[quantize]' to try the tests of 4-bit bases and 8-bit optimizers"
        warnings.warn(reason, stacklevel=2)
        pytest.skip(f"SKIPPED: {reason}")


def adapted(model, seed: int = 5):
    """Put adapters on a model that change its logits."""
    from peft import get_peft_model

    policy = get_peft_model(model, lora_config(4)).eval()
    torch.manual_seed(seed)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return policy


def nbytes(model) -> int:
    return sum(p.nbytes for p in model.parameters())


def test_a_base_in_bfloat16_takes_half_the_memory_and_its_adapters_float32():
    whole, _ = load_model("tiny")
    half, _ = load_model("tiny", dtype=torch.bfloat16)
    assert nbytes(half) * 2 == nbytes(whole)
    policy = adapted(half)
    assert {p.dtype for name, p in policy.named_parameters() if "lora_" in name} == {torch.float32}
    assert {p.dtype for name, p in policy.named_parameters() if "lora_" not in name} == {torch.bfloat16}


def check_engine(policy):
    """The engine's greedy tokens are those of transformers' generate on the same policy, computed in float32."""
    exact = copy.deepcopy(without_adapters(load_model("tiny")[0]))
    weights = plain_weights(policy)
    with torch.no_grad():
        for name, parameter in exact.named_parameters():
            parameter.copy_(weights[name])
    engine = Engine(policy, [1], 0, torch.float32)
    assert engine.generate(PROMPTS, 1, Sampling(24, 0.0), seed=0).ids == reference(exact, PROMPTS, 24, [1])
    assert engine.path == "fast"
    base = without_adapters(load_model("tiny")[0])
    assert engine.generate(PROMPTS, 1, Sampling(24, 0.0), seed=0).ids != reference(base, PROMPTS, 24, [1])


def test_the_engine_reads_a_base_in_bfloat16_as_generate_does():
    policy = adapted(load_model("tiny", dtype=torch.bfloat16)[0])
    check_engine(policy)
    own = Engine(policy, [1], 0, torch.bfloat16, fast=False).generate(PROMPTS, 1, Sampling(24, 0.0), seed=0)
    assert own.ids == reference(policy, PROMPTS, 24, [1])  # in the base's own precision, adapters apart


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_a_run_trains_adapters_over_a_base_in_bfloat16(beta, tmp_path, cli):
    ended = cli(RUN, "--lora_rank", 4, "--base_dtype", "bfloat16", "--beta", beta, "--output_dir", tmp_path / "run")
    assert ended.code == 0, ended.err
    adapters = load_file(tmp_path / "run/model/adapter_model.safetensors")
    assert {t.dtype for t in adapters.values()} == {torch.float32}
    assert any(t.abs().max() > 0 for name, t in adapters.items() if "lora_B" in name)  # they start at 0
    assert [row["step"] for row in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2]
    run = rlvr.Run(tmp_path / "run")
    assert run.config["base_dtype"] == "bfloat16"
    again = rlvr.evaluate(run)  # loaded as in the run: the same completions
    assert again.record["problems"] == run.after.record["problems"]


def test_log_probabilities_of_a_rounded_base_are_not_taken_for_the_engines(tmp_path):
    """The engine multiplies in float32, the policy in bfloat16: what was drawn from is not the policy's own."""
    settings = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "train_size": 8, "lora_rank": 2}
    made = {
        dtype: rlvr.RLVRTrainer("tiny", args=TrainConfig(base_dtype=dtype, **settings), data="arithmetic")
        for dtype in ("float32", "bfloat16")
    }
    assert {dtype: trainer.engine_sampling.exact for dtype, trainer in made.items()} == {
        "float32": True,
        "bfloat16": False,
    }


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--base_dtype bfloat16", "base_dtype 'bfloat16' is for a frozen base, and lora_rank 0 trains all weights"),
        ("--quantize nf4", "quantize 'nf4' is for a frozen base, and lora_rank 0 trains all weights"),
        ("--base_dtype float16", "No base_dtype 'float16'. Did you mean 'bfloat16'?"),
        ("--quantize int3", "No quantize 'int3'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(flags, said, cli, tmp_path):
    ended = cli(RUN, *flags.split(), "--output_dir", tmp_path / "run")
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "run").exists()


def test_the_trainer_refuses_it_too(tmp_path):
    config = TrainConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, base_dtype="bfloat16", train_size=8)
    with pytest.raises(SpecError, match="is for a frozen base"):
        rlvr.RLVRTrainer("tiny", args=config, data="arithmetic")


@pytest.mark.parametrize(
    "flags", [{"quantize": "nf4", "lora_rank": 4}, {"optim": "adamw_8bit"}, {"optim": "paged_adamw_8bit"}]
)
def test_what_needs_bitsandbytes_says_so(flags, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else find(name, *a)
    )
    with pytest.raises(ModelError, match=r"needs bitsandbytes: pip install 'rlvr\[quantize\]'"):
        check_needs(TrainConfig(use_cpu=True, bf16=False, **flags))
    with pytest.raises(ModelError, match="bitsandbytes"):
        check_bitsandbytes("this")


@pytest.mark.parametrize("base_dtype", ["float32", "bfloat16"])
def test_a_base_in_4_bits(base_dtype, bitsandbytes):
    model, _ = load_model("tiny", dtype=getattr(torch, base_dtype), quantize="nf4")
    layers = four_bit_layers(model)
    assert len(layers) == 4 * 7  # every linear layer of the body
    whole = sum(layer.in_features * layer.out_features for layer in layers)
    assert sum(layer.weight.nbytes for layer in layers) == whole / 2
    published = dict(load_model("tiny")[0].named_parameters())
    name = "model.layers.0.mlp.up_proj.weight"
    off = dense(model.get_parameter(name)) - published[name]
    assert 0 < off.abs().mean() < 0.1 * published[name].abs().mean()
    policy = adapted(model)
    with torch.no_grad(), computing_in(policy, torch.float32):  # what the engine reads is what the layers multiply by
        merged = plain_weights(policy)["model.layers.0.mlp.up_proj.weight"]
        layer = policy.get_base_model().model.layers[0].mlp.up_proj
        x = torch.randn(3, layer.in_features)
        torch.testing.assert_close(layer(x), x @ merged.T, atol=1e-5, rtol=1e-4)
    check_engine(policy)


@pytest.mark.parametrize("more", [(), ("--base_dtype", "bfloat16", "--gradient_checkpointing", "true")])
def test_a_run_trains_adapters_over_4_bits(more, bitsandbytes, tmp_path, cli):
    ended = cli(RUN, "--lora_rank", 4, "--quantize", "nf4", *more, "--output_dir", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "transformers' own forward" not in ended.err  # the engine trusts its fast path
    adapters = load_file(tmp_path / "run/model/adapter_model.safetensors")
    assert {t.dtype for t in adapters.values()} == {torch.float32}  # TRL makes them bfloat16
    assert any(t.abs().max() > 0 for name, t in adapters.items() if "lora_B" in name)
    run = rlvr.Run(tmp_path / "run")
    assert rlvr.evaluate(run).record["problems"] == run.after.record["problems"]


@pytest.mark.parametrize("optim", ["adamw_8bit", "paged_adamw_8bit"])
def test_an_8_bit_optimizer_trains(optim, bitsandbytes, tmp_path, cli):
    assert cli(RUN, "--optim", optim, "--eval_size", 0, "--output_dir", tmp_path / "run").code == 0
    assert len(read_metrics(tmp_path / "run/metrics.jsonl")) == 2


def test_adafactor_trains(tmp_path, cli):
    assert cli(RUN, "--optim", "adafactor", "--eval_size", 0, "--output_dir", tmp_path / "run").code == 0
    assert len(read_metrics(tmp_path / "run/metrics.jsonl")) == 2
