"""Check what a config needs against this machine before a run, one Finding for each requirement; loads no weights."""

import http.client
import math
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import torch
from accelerate import DistributedType
from accelerate.commands.config.config_args import default_config_file, load_config_from_file
from accelerate.utils import is_deepspeed_available
from huggingface_hub.constants import HF_HUB_OFFLINE
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations import get_available_reporting_integrations

from rlvr.config.settings import TrainConfig, parse_config
from rlvr.core.errors import ModelError, RlvrError, SpecError
from rlvr.models.load import PACKAGED, TINY, build_tiny, cache_dir, check_attention, model_source
from rlvr.models.precision import native_bf16
from rlvr.planning.parts import PARTS, Finding, existing, free_bytes, gpus, packaged, probe
from rlvr.planning.resolve import resolve_config

HEALTH_SECONDS = 2.0
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "adapter_model.safetensors",
)
_SERVE = (  # as the example in trl/generation/vllm_client.py
    'VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --weight-transfer-config \'{"backend": "nccl"}\' '
    "--logprobs-mode processed_logprobs --max-logprobs -1"
)


def preflight(recipes: Sequence[str], argv: Sequence[str], launch: str | None = None) -> list[Finding]:
    """Resolve a config as `rlvr train` does and return the Finding of each of its requirements on this machine.

    `launch` is the file for `accelerate launch --config_file`; None takes the one that `accelerate config` wrote, if
    there is one. Raises SpecError for settings that no machine would take.
    """
    try:
        config = parse_config(TrainConfig, recipes, argv, "rlvr doctor")
    except ImportError as error:  # DeepSpeed's settings import it
        return [Finding("settings", "problem", f"a package is missing: {error}")]
    has_gpu = bool(gpus()) and config.device.type != "cpu"
    findings = [_plan(config), _model(config)]
    findings += _precision(config)
    findings += _vllm(config, has_gpu)
    findings += _kernels(config, has_gpu)
    findings += _gpu(config, has_gpu)
    if config.lora_rank:
        findings.append(Finding("LoRA", "ok", f"rank {config.lora_rank} on every linear layer, by peft"))
    findings += _trackers(config)
    findings += _launch(launch)
    return [*findings, *_disk(config)]


def problems(findings: Sequence[Finding]) -> int:
    """Count what keeps a run from starting.

    >>> problems([Finding("GPU", "problem", "none"), Finding("vllm", "missing", "pip install vllm")])
    1
    """
    return sum(finding.state == "problem" for finding in findings)


def _needed(name: str, has_gpu: bool) -> Finding:
    """Probe a part that the config needs: ok, or a problem."""
    finding = probe(PARTS[name], has_gpu)
    if finding.state == "ready":
        return Finding(finding.what, "ok", finding.detail)
    return Finding(finding.what, "problem", f"{finding.state}: {finding.detail}")


def _gpu(config: TrainConfig, has_gpu: bool) -> list[Finding]:
    asked = {"vLLM": config.use_vllm, "Liger's Triton kernels": config.use_liger_kernel}
    needs = " and ".join(name for name, wanted in asked.items() if wanted)
    if not needs:
        return []
    if has_gpu:
        return [Finding("GPU", "ok", gpus()[0])]
    return [Finding("GPU", "problem", f"{needs}: a CUDA GPU is needed, and this run sees none")]


def _plan(config: TrainConfig) -> Finding:
    """Check everything that `rlvr train --dry_run` checks: terms, safety, chain, problem sets, gold answers."""
    try:
        resolved = resolve_config(config)
    except RlvrError as error:
        return Finding("settings", "problem", str(error))
    return Finding("settings", "ok", f"{len(resolved.problems)} training problems of {config.data}")


def _model(config: TrainConfig) -> Finding:
    """Say whether the model can be loaded without the network."""
    spec = config.model
    if spec == TINY:
        return Finding("model", "ok", "tiny is built from a seed")
    if spec == PACKAGED:
        finding = packaged()
        return Finding("model", "ok" if finding.state == "ready" else "problem", finding.detail)
    try:
        source = model_source(spec)
    except ModelError as error:
        return Finding("model", "problem", str(error))
    if Path(source).is_dir():
        if any((Path(source) / name).is_file() for name in ("config.json", "adapter_config.json")):
            return Finding("model", "ok", f"the folder {source}")
        return Finding("model", "problem", f"{source} holds no config.json: it is not a model that transformers saved")
    if _cached(spec, "config.json") and any(_cached(spec, name) for name in _WEIGHTS):
        return Finding("model", "ok", f"{spec} is in the hub cache")
    if HF_HUB_OFFLINE:
        return Finding("model", "problem", f"{spec} is not in the hub cache and HF_HUB_OFFLINE is set: use a folder")
    return Finding("model", "note", f"{spec} is not in the hub cache: needs the hub, which was not tried")


def _cached(spec: str, name: str) -> bool:
    return isinstance(huggingface_hub.try_to_load_from_cache(spec, name), str)


def _precision(config: TrainConfig) -> list[Finding]:
    """Check 16-bit training on a CPU: accelerate refuses float16, emulated bfloat16 can be a hundred times slower."""
    on_cpu = config.device.type == "cpu"
    if config.fp16:
        remedy = "float16 needs a GPU: --fp16 false"
        return [Finding("fp16", "problem", remedy) if on_cpu else Finding("fp16", "ok", str(config.device))]
    if config.bf16 or config.sampling_precision == torch.bfloat16:
        remedy = "no GPU here, and the CPU emulates bfloat16, far slower than float32: --bf16 false"
        native = native_bf16(config.device)
        return [Finding("bf16", "ok" if native else "problem", f"native on {config.device}" if native else remedy)]
    return []


def _vllm(config: TrainConfig, has_gpu: bool) -> list[Finding]:
    if not config.use_vllm:
        return []
    findings = [_needed("vllm", has_gpu)]
    if config.vllm_mode == "server":
        server = _server(config)
        findings += [server] if server.state == "ok" else [server, Finding("to start one", "note", _SERVE)]
    elif config.model == TINY and not config.sft_steps:
        remedy = (
            "vLLM reads the model from a folder or the hub, and tiny is in neither: --sft_steps 1, or another model"
        )
        findings.append(Finding("model for vLLM", "problem", remedy))
    return findings


def _server(config: TrainConfig) -> Finding:
    """Ask the server's /health, as TRL does."""
    base = config.vllm_server_base_url or f"http://{config.vllm_server_host}:{config.vllm_server_port}"
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=HEALTH_SECONDS) as answer:
            return Finding("vLLM server", "ok", f"{base}/health answers {answer.status}")
    except urllib.error.HTTPError as error:
        return Finding("vLLM server", "problem", f"{base}/health answers {error.code}: no vLLM server there")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return Finding("vLLM server", "problem", f"no answer from {base}/health ({reason})")


def _kernels(config: TrainConfig, has_gpu: bool) -> list[Finding]:
    """Check Liger's kernels and the attention."""
    findings = []
    if config.use_liger_kernel:
        findings.append(_needed("liger_kernel", has_gpu))
        findings.append(
            Finding("Liger's reach", "note", "layer kernels only: TRL keeps its own loss, and the credit is ours")
        )
    if config.attn_implementation == "auto":
        return findings
    name = config.attn_implementation
    try:
        check_attention(name)
        findings.append(Finding("attention", "ok", name))
    except ModelError as error:
        findings.append(Finding("attention", "problem", str(error)))
    if name == "flash_attention_2" and not (config.bf16 or config.fp16):
        findings.append(Finding("attention", "problem", "FlashAttention computes in 16 bits: --bf16 true"))
    if name != "sdpa" and config.pack_prompts:
        findings.append(
            Finding("pack_prompts", "note", f"has no effect with {name}: prompts are shared with sdpa only")
        )
    return findings


def _trackers(config: TrainConfig) -> list[Finding]:
    available = get_available_reporting_integrations()
    return [
        Finding("report_to", "ok", f"{name} is installed")
        if name in available
        else Finding("report_to", "problem", f"{name} is not installed: pip install {name}")
        for name in config.report_to or []
    ]


def _launch(path: str | None) -> list[Finding]:
    """Hold an accelerate config file against the GPUs and packages of this machine."""
    if path is None and not Path(default_config_file).is_file():
        return []
    try:
        asked = load_config_from_file(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{path or default_config_file} is not an accelerate config: {error}") from error
    kind, cards = asked.distributed_type, len(gpus())
    each = math.ceil(asked.num_processes / asked.num_machines)
    what = f"launch, {path or default_config_file}"
    if kind in (DistributedType.NO, DistributedType.MULTI_CPU):
        return [Finding(what, "ok", f"{asked.num_processes} CPU processes" if asked.use_cpu else f"{kind.value}")]
    findings = []
    if kind == DistributedType.DEEPSPEED and not is_deepspeed_available():
        findings.append(Finding(what, "problem", "DeepSpeed is not installed: pip install deepspeed"))
    if asked.use_cpu:
        findings.append(Finding(what, "note", f"accelerate ignores {kind.value} without a GPU and trains with DDP"))
    elif each > cards:
        remedy = f"{kind.value} asks for {each} GPUs on each machine, here are {cards}: change num_processes"
        findings.append(Finding(what, "problem", remedy))
    return findings or [Finding(what, "ok", f"{kind.value}, {each} of {cards} GPUs")]


def _disk(config: TrainConfig) -> list[Finding]:
    """Return whether the run directory can be written, and a rough bound on what its checkpoints take.

    bytes = 4 x parameters x (3 x checkpoints kept + 1): weights and two Adam moments in float32 each, and the last
    model; 1 instead of 3 with save_only_model. With LoRA far less: a checkpoint then holds the adapters.
    """
    folder = Path(config.output_dir or "runs")
    parent = existing(folder)
    if not os.access(parent, os.W_OK):
        return [Finding("output", "problem", f"{parent} cannot be written: give another --output_dir")]
    if config.output_dir and (folder / "config.yaml").is_file():
        return [Finding("output", "note", f"{folder} holds a run: --resume auto goes on with it")]
    findings = [Finding("output", "ok", f"{folder.absolute()} can be written")]
    parameters, kept, free = _parameters(config), _checkpoints(config), free_bytes(folder)
    if parameters is None or kept is None:
        return [
            *findings,
            Finding("disk", "note", f"{free / 1e9:.0f} GB free; what checkpoints take is not known before"),
        ]
    need = 4 * parameters * ((1 if config.save_only_model else 3) * kept + 1)
    said = f"roughly {need / 1e9:.2g} GB for {kept} checkpoints and the model; {free / 1e9:.0f} GB free at {parent}"
    if need <= free:
        return [*findings, Finding("disk", "ok", said)]
    return [*findings, Finding("disk", "problem", f"{said}: lower --save_total_limit, or another --output_dir")]


def _checkpoints(config: TrainConfig) -> int | None:
    """Return how many checkpoints a run leaves; None where that depends on the length of its epochs."""
    if config.save_strategy == "no":
        return 0
    if config.save_total_limit:
        return config.save_total_limit
    if config.save_strategy == "steps" and config.max_steps > 0 and config.save_steps >= 1:
        return math.ceil(config.max_steps / config.save_steps)
    return None


def _parameters(config: TrainConfig) -> int | None:
    """Count the model's parameters from its config alone, without its weights; None where no config is at hand."""
    spec = config.model
    if spec == TINY:
        return build_tiny()[0].num_parameters()
    source = str(cache_dir() / "models" / PACKAGED) if spec == PACKAGED else str(Path(spec).expanduser())
    try:
        shape = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(shape).num_parameters()
    except (OSError, ValueError, ImportError):
        return None
