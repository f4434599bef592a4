"""Which precision this machine multiplies fastest."""

import time
from functools import cache

import torch
from torch import Tensor


@cache
def bf16_pays(device: str | torch.device = "cpu") -> bool:
    """Whether bfloat16 matrix products are at least about as fast as float32 ones on `device`.

    Measured (about 0.1 s, once per process), not looked up: a CPU without native bfloat16 is over a hundred times
    slower with it, a GPU or a CPU with matrix units several times faster, so the answer does not hang on noise.
    """

    def best(dtype: torch.dtype) -> float:
        a: Tensor = torch.ones(64, 512, dtype=dtype, device=device)
        b = torch.ones(512, 512, dtype=dtype, device=device)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            (a @ b).sum().item()  # .item() waits for the device
            times.append(time.perf_counter() - start)
        return min(times)

    best(torch.float32)
    return best(torch.bfloat16) <= 1.5 * best(torch.float32)
