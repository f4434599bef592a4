"""Measure what this machine can do, in about two seconds, at the sizes of the model."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import psutil
import torch

from rlvr.models.sampling.linear import PackedLinear
from rlvr.planning.cost.shape import Shape

TRAIN_POSITIONS = (64, 1024)  # at least, at most, for products as a training pass has them
_CPU_WORK = 2e10  # operations of one such layer on a CPU, so that a large model takes seconds here, not minutes
DECODE_ROWS = (1, 8, 32, 128)
_COLD = 128 * 2**20  # bytes of weights to go through, so that a cache does not keep them


@dataclass(frozen=True)
class Machine:
    """Hold the speeds of one machine: multiply-adds count as two operations.

    `decode` holds (rows, seconds per number of weights) of products of few rows; `launch` is the time of one small
    operation, in seconds.
    """

    train_flops: float
    decode: tuple[tuple[int, float], ...]
    bandwidth: float
    launch: float
    device: str = "cpu"

    def decode_seconds(self, weights: float, rows: float) -> float:
        """Return the seconds of multiplying `rows` vectors by so many weights: between the measured rows, linear.

        >>> Machine(1.0, ((1, 2.0), (3, 4.0)), 1.0, 0.0).decode_seconds(10, 2)
        30.0
        """
        points = self.decode
        rows = max(rows, points[0][0])
        (a, low), (b, high) = next(((p, q) for p, q in pairwise(points) if rows <= q[0]), (points[-2], points[-1]))
        if rows > points[-1][0]:
            return weights * points[-1][1] * rows / points[-1][0]
        return weights * (low + (high - low) * (rows - a) / (b - a))


def available(device: torch.device) -> float:
    """Return the bytes that a new process could take here now."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available)


def _rate(work: Callable[[int], object], seconds: float, device: torch.device) -> float:
    """Return the seconds of one call of `work(i)`, the median of as many as fit into `seconds` (at least 3)."""

    def synchronise() -> None:
        if device.type != "cpu":
            torch.get_device_module(device).synchronize(device)

    work(0)
    synchronise()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        work(len(times) + 1)
        synchronise()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


@torch.no_grad()
def measure_machine(
    shape: Shape, train: torch.dtype, sampling: torch.dtype, device: torch.device, seconds: float = 2.0
) -> Machine:
    """Time the products of one layer and the memory of this machine; `seconds` is the time to spend, about."""
    part = seconds / 8
    per_layer = max(1, len(shape.products_IO) // shape.layers)
    sizes = shape.products_IO[:per_layer]
    weights = sum(i * o for i, o in sizes)
    new = torch.randn
    least, positions = TRAIN_POSITIONS
    if device.type == "cpu":
        positions = max(least, min(positions, int(_CPU_WORK / (2 * weights))))
    inputs = [new(positions, i, device=device, dtype=train) for i, _ in sizes]
    matrices = [new(o, i, device=device, dtype=train) for i, o in sizes]

    def forward(_: int) -> None:
        for x, w in zip(inputs, matrices, strict=True):
            torch.nn.functional.linear(x, w)

    train_flops = 2 * weights * positions / _rate(forward, 2 * part, device)
    copies = max(1, min(64, _COLD // (weights * sampling.itemsize)))
    packed = [
        [PackedLinear(new(o, i, device=device, dtype=sampling), None) for i, o in _fused(sizes)] for _ in range(copies)
    ]
    decode = []
    for rows in DECODE_ROWS:
        few = {i: new(rows, i, device=device, dtype=sampling) for i, _ in _fused(sizes)}

        def step(call: int, few: dict[int, torch.Tensor] = few) -> None:
            for product, (i, _) in zip(packed[call % copies], _fused(sizes), strict=True):
                product(few[i])

        decode.append((rows, _rate(step, part, device) / weights))
    source = torch.zeros(_COLD // 4, device=device)
    target = torch.zeros_like(source)
    bandwidth = 2 * _COLD / _rate(lambda _: target.copy_(source), part, device)
    small = torch.zeros(32, 8, device=device)
    launch = _rate(lambda _: [small + small for _ in range(100)], part / 4, device) / 100
    return Machine(train_flops, tuple(decode), bandwidth, launch, device.type)


def _fused(sizes: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Join neighbouring products of the same input, as the sampler does (q, k, v; gate, up).

    >>> _fused(((4, 4), (4, 2), (4, 2), (8, 4)))
    [(4, 8), (8, 4)]
    """
    joined: list[tuple[int, int]] = []
    for i, o in sizes:
        if joined and joined[-1][0] == i:
            joined[-1] = (i, joined[-1][1] + o)
        else:
            joined.append((i, o))
    return joined
