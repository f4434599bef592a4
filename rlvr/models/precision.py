"""Choose the device and the precision of a run: the one place that asks what the hardware is.

Every trainer (GRPO, warm-up, calibration, PPO's critic inside GRPO's) takes both from here, so that they agree.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState

from rlvr.core.errors import SpecError, did_you_mean

FORCE = "RLVR_PRECISION"  # float32 or bfloat16: what this machine is taken to be fast at
_NATIVE = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "BF16"}  # torch's names of the instruction sets
_WIDEST = {"avx512_f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "neon": "NEON"}


def capabilities() -> dict[str, Any]:
    """Return the CPU's instruction sets as torch names them, {name: whether it is there}; empty where torch cannot."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def instruction_sets() -> list[str]:
    """Return the CPU's instruction sets that decide about speed: its bfloat16 ones, else its widest, else none."""
    has = capabilities()
    native = [label for name, label in _NATIVE.items() if has.get(name)]
    return native or [label for name, label in _WIDEST.items() if has.get(name)][:1]


def native_bf16(device: str | torch.device = "cpu") -> bool:
    """Return whether `device` multiplies bfloat16 in hardware, or is declared to (the environment's RLVR_PRECISION).

    A CPU without it emulates: on an AVX2 machine a bfloat16 product ran ten to a hundred times slower than float32
    (0.8 to 19 against 126 to 179 GFLOP/s), so TRL's default of bfloat16 is not ours there. Asked, not timed: a
    measurement on a busy machine can come out either way. Raises SpecError for an RLVR_PRECISION that is neither.

    >>> isinstance(native_bf16("cpu"), bool)
    True
    """
    device = torch.device(device)
    if forced := forced_precision():
        return forced == "bfloat16"
    if device.type == "cpu":
        return _cpu_has_bf16()
    return bool(getattr(torch.get_device_module(device), "is_bf16_supported", lambda: True)())


def _cpu_has_bf16() -> bool:
    has = capabilities()
    return any(bool(has.get(name)) for name in _NATIVE)


def forced_precision() -> str | None:
    """Return the precision that the environment's RLVR_PRECISION forces: float32, bfloat16 or None."""
    forced = os.environ.get(FORCE) or None
    if forced not in (None, "float32", "bfloat16"):
        raise SpecError(did_you_mean(FORCE, forced, ["float32", "bfloat16"]))
    return forced


def run_device(use_cpu: bool = False) -> torch.device:
    """Return where this process trains and samples: accelerate's device, or the CPU if so asked."""
    return torch.device("cpu") if use_cpu else PartialState().device


@dataclass(frozen=True)
class Precision:
    """Hold the device and the precision of a run.

    Attributes:
        device: where it trains and samples.
        bf16, fp16: autocast in training to bfloat16, float16; neither is float32.
    """

    device: torch.device
    bf16: bool = False
    fp16: bool = False

    @classmethod
    def choose(cls, use_cpu: bool = False, bf16: bool | None = None, fp16: bool = False) -> "Precision":
        """Choose the device, and bfloat16 where it is native unless `bf16` or `fp16` says otherwise."""
        device = run_device(use_cpu)
        return cls(device, bool(bf16) if bf16 is not None else not fp16 and native_bf16(device), fp16)

    @property
    def arguments(self) -> dict[str, bool]:
        """Return the choice as transformers' TrainingArguments take it: use_cpu, bf16, fp16.

        transformers wants `use_cpu` said on a CPU, GPU or not: without it it refuses bfloat16 there.
        """
        return {"use_cpu": self.device.type == "cpu", "bf16": self.bf16, "fp16": self.fp16}

    @property
    def name(self) -> str:
        """Return what training computes in."""
        return "bfloat16 autocast" if self.bf16 else "float16 autocast" if self.fp16 else "float32"

    def __str__(self) -> str:
        """Say precision, device and reason in one line, as the first line of a run does.

        >>> str(Precision(torch.device("cpu"), bf16=False)).startswith("float32 on ")
        True
        """
        return f"{self.name} on {describe_device(self.device)}{self._one_of()}{self._remark()}"

    def _one_of(self) -> str:
        """Say how to use the other GPUs, where this process is alone and sees more than its own."""
        seen = 1 if self.device.type == "cpu" else torch.accelerator.device_count()
        if seen == 1 or PartialState().num_processes > 1:
            return ""
        return f", one of {seen}: torchrun --nproc_per_node {seen} -m rlvr takes them all"

    def _remark(self) -> str:
        """Say what is unusual about the choice, if anything is."""
        forced = f", forced by {FORCE}" if forced_precision() else ""
        if self.bf16 and self.device.type == "cpu" and not _cpu_has_bf16():
            return f"{forced}: emulated here, far slower than float32"
        if not (self.bf16 or self.fp16) and native_bf16(self.device):
            return ": bfloat16 is native but off (--bf16 false)"
        return forced


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_device(device: torch.device) -> str:
    """Name a device by what decides about its speed."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return str(device)
    sets = instruction_sets()
    return f"{cores()} CPU cores" + (f" ({', '.join(sets)})" if sets else "")
