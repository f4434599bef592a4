"""One policy for device and precision: both precisions on any machine, and a fast path that is judged like with like.

What is demanded of bfloat16: nothing to the bit across two ways of computing the same sum (8 bits of mantissa: a
relative rounding of 0.4%), everything to the bit across two runs of the same way (tests/test_trl_contract.py: resume).
"""

import copy
import json
import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rlvr.config.settings import TrainConfig, parse_config, to_yaml
from rlvr.core.errors import SpecError
from rlvr.models import precision
from rlvr.models.load import build_tiny, load_model
from rlvr.models.precision import FORCE, Precision, native_bf16
from rlvr.models.sampling import Engine, Sampling, llama, trust
from rlvr.training.supervised.warmup import Warmup
from rlvr.training.supervised.warmup import train as train_warmup

CPU = torch.device("cpu")


def told(monkeypatch, **has):
    """Make torch report these instruction sets, and nothing forced."""
    monkeypatch.delenv(FORCE, raising=False)
    monkeypatch.setattr(precision, "capabilities", lambda: has)


@pytest.mark.parametrize(
    ("has", "native", "line"),
    [
        ({"avx2": True}, False, "float32 on {} CPU cores (AVX2)"),
        ({"avx2": True, "avx512_f": True}, False, "float32 on {} CPU cores (AVX-512)"),
        ({"avx512_f": True, "avx512_bf16": True}, True, "bfloat16 autocast on {} CPU cores (AVX512-BF16)"),
        ({"avx512_bf16": True, "amx_bf16": True}, True, "bfloat16 autocast on {} CPU cores (AMX, AVX512-BF16)"),
        ({}, False, "float32 on {} CPU cores"),
    ],
)
def test_what_the_cpu_has_decides_and_is_said(monkeypatch, has, native, line):
    told(monkeypatch, **has)
    assert native_bf16("cpu") is native
    config = TrainConfig(use_cpu=True)
    assert (config.bf16, config.use_cpu) == (native, True)
    assert str(config.precision) == line.format(precision.cores())


def test_a_cpu_is_said_to_transformers_without_being_asked(monkeypatch):
    """Without use_cpu transformers refuses bfloat16 on a CPU: every first run on a machine that has it failed."""
    if torch.accelerator.is_available():
        pytest.skip("an accelerator is here, so the CPU is not chosen")
    told(monkeypatch, avx512_bf16=True)
    config = TrainConfig()
    assert config.bf16 is True
    assert config.use_cpu is True
    assert config.device == CPU
    assert "use_cpu" not in to_yaml(config)  # it says what there was; elsewhere the same file finds what is there


def test_what_is_asked_for_wins_and_is_remarked(monkeypatch):
    told(monkeypatch, avx512_bf16=True)
    assert str(TrainConfig(use_cpu=True, bf16=False).precision).endswith(": bfloat16 is native but off (--bf16 false)")
    assert TrainConfig(use_cpu=True, fp16=True).bf16 is False
    told(monkeypatch, avx2=True)
    config = TrainConfig(use_cpu=True, bf16=True)
    assert config.bf16 is True
    assert str(config.precision).endswith(": emulated here, far slower than float32")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_either_precision_can_be_forced(monkeypatch, name):
    told(monkeypatch, avx2=name == "float32")
    monkeypatch.setenv(FORCE, name)
    assert native_bf16("cpu") is (name == "bfloat16")
    assert TrainConfig(use_cpu=True).bf16 is (name == "bfloat16")
    assert f"forced by {FORCE}" in str(TrainConfig(use_cpu=True).precision)


def test_a_precision_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv(FORCE, "bf16")
    with pytest.raises(SpecError, match="No RLVR_PRECISION 'bf16'"):
        native_bf16("cpu")


@pytest.mark.parametrize("bf16", [False, True])
def test_the_warm_up_trains_in_either_precision(tmp_path, bf16):
    """Its SFTConfig takes the device from the same place: `--use_cpu true` never reached it."""
    train_warmup(Warmup("tiny", "arithmetic(levels=[0])", steps=2, batch_size=4, bf16=bf16), tmp_path)
    trained, start = load_model(str(tmp_path))[0], load_model("tiny")[0]
    assert all(p.dtype == torch.float32 for p in trained.parameters())  # float32 masters in both
    moved = [not torch.equal(a, b) for a, b in zip(trained.parameters(), start.parameters(), strict=True)]
    assert all(moved)


@pytest.mark.parametrize("bf16", ["false", "true"])
@pytest.mark.parametrize("recipe", ["grpo", "ppo"])
def test_a_run_in_either_precision(tmp_path, cache, capsys, bf16, recipe):
    """Warm-up, both evaluations and training (PPO: with its critic) take the precision that the run names."""
    from rlvr.commands.main import main

    argv = ["train", "--config", recipe, "tiny", "--bf16", bf16, "--sft_steps", "2", "--max_steps", "2"]
    argv += ["--num_generations", "4", "--train_size", "16", "--per_device_train_batch_size", "8"]
    argv += ["--gradient_accumulation_steps", "1", "--eval_size", "4", "--eval_n", "2", "--max_completion_length", "8"]
    assert main([*argv, "--output_dir", str(tmp_path / "run")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("bfloat16 autocast on" if bf16 == "true" else "float32 on")
    assert not [line for line in lines if "the fast path's logits" in line]
    assert json.loads((tmp_path / "run/env.json").read_text())["precision"] == lines[0]
    assert lines[0] in (tmp_path / "run/report.md").read_text()
    assert lines[0] in (tmp_path / "run/report.html").read_text()


def peaked(seed: int = 3) -> torch.nn.Module:
    """Return a small Llama with sharp predictions and norms that differ: random weights predict nothing to get wrong."""
    model, _ = build_tiny(seed=seed, hidden=64, layers=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.data.uniform_(0.3, 3.0)
            else:
                weight.data.mul_(3.0)
    return model.eval()


PROMPTS = [[5, 60, 7, 31, 44, 12, 80, 5, 9, 17, 33, 21], [8, 3, 90, 14, 27, 66, 71, 38, 19, 40]]


def wrong_angle(forward: llama.LlamaForward) -> None:
    forward.rotary = copy.deepcopy(forward.rotary)
    forward.rotary.inv_freq[1] *= 1.5


def swapped_norms(forward: llama.LlamaForward) -> None:
    block = list(forward.blocks[0])
    block[0], block[4] = block[4], block[0]
    forward.blocks[0] = tuple(block)


def stale_weights(forward: llama.LlamaForward) -> None:
    forward.norm = forward.norm.roll(1)


def other_epsilon(forward: llama.LlamaForward) -> None:
    forward.eps = 0.1


BREAKS = [wrong_angle, swapped_norms, stale_weights, other_epsilon]


def engine_of(model, dtype, broken, monkeypatch) -> Engine:
    """Return an engine whose fast path has been broken at every refresh, where `broken` says how."""
    refresh = llama.LlamaForward.refresh

    def and_break(self, weights):
        refresh(self, weights)
        broken(self)

    if broken:
        monkeypatch.setattr(llama.LlamaForward, "refresh", and_break)
    return Engine(model, [1], 0, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("broken", [None, *BREAKS], ids=lambda b: getattr(b, "__name__", "right"))
def test_a_broken_fast_path_is_caught_in_either_precision(monkeypatch, caplog, dtype, broken):
    caplog.set_level(logging.WARNING)
    engine = engine_of(peaked(), dtype, broken, monkeypatch)
    engine.generate(PROMPTS, 2, Sampling(4, 0.0), seed=0)
    assert engine.path == ("general" if broken else "fast")
    assert ("the fast path's logits are off" in caplog.text) is bool(broken)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("base", ["float32", "bfloat16"])
def test_a_right_fast_path_is_never_refused_for_its_rounding(seed, base):
    """Whatever the weights: in bfloat16 a bound on the largest of all logits' differences refused the right path."""
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    for wrap in (lambda model: model, lambda model: get_peft_model(model, lora)):
        policy = wrap(peaked(seed).to(getattr(torch, base)))
        engine = Engine(policy, [1], 0, dtype=torch.bfloat16)
        engine.generate(PROMPTS, 2, Sampling(4, 0.0), seed=0)
        assert engine.path == "fast"


def test_the_policys_own_logits_are_read_without_accelerates_autocast():
    from accelerate import Accelerator

    model = peaked()
    ids = torch.tensor(PROMPTS[:1])
    with torch.no_grad():
        exact = model(ids).logits
        wrapped = Accelerator(cpu=True, mixed_precision="bf16").prepare_model(
            copy.deepcopy(model), evaluation_mode=False
        )
        assert not torch.allclose(wrapped(ids).logits, exact, rtol=1e-4, atol=1e-4)  # autocast rounds
        assert torch.equal(trust.policy_logits(wrapped, ids, torch.float32), exact)


def test_precision_of_a_device(monkeypatch):
    told(monkeypatch, avx2=True)
    assert Precision.choose(use_cpu=True).arguments == {"use_cpu": True, "bf16": False, "fp16": False}
    assert Precision(torch.device("cuda"), bf16=True).arguments == {"use_cpu": False, "bf16": True, "fp16": False}
    assert parse_config(TrainConfig, ["grpo", "tiny"], ["--use_cpu", "true"]).use_cpu is True
