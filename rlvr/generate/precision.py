"""Whether bfloat16 is native here (the one place that asks what the hardware is)."""

import torch


def native_bf16(device: str | torch.device = "cpu") -> bool:
    """Whether `device` multiplies bfloat16 in hardware.

    A CPU without it emulates: on an AVX2 machine a bfloat16 product ran over a hundred times slower than float32
    (0.8 against 126 GFLOP/s), so TRL's default of bfloat16 is not ours there. Asked, not timed: a measurement on a
    busy machine can come out either way.

    >>> isinstance(native_bf16("cpu"), bool)
    True
    """
    device = torch.device(device)
    if device.type == "cpu":
        has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(bool(has.get(name)) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return bool(getattr(torch.get_device_module(device), "is_bf16_supported", lambda: True)())
