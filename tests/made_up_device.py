"""A made-up `cuda:0` for machines without a GPU: the CPU computes, FakeTensorMode judges.

    with made_up_cuda():
        x = torch.ones(2, device="cuda")
        x @ torch.ones(2)            # raises: two devices
        (x + 1).tolist()             # [2.0, 2.0]

A made-up tensor holds its values on the CPU, where every operation is computed; an operation that gets tensors of both
devices is first put to FakeTensorMode, which raises where a GPU would. So whole functions can run, with their reads of a
value (`int(x.max())`, `nonzero`), which FakeTensorMode alone cannot. There is no backward: PyTorch's engine asks for a
real accelerator.
"""

import ctypes
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)


class OnCuda(torch.Tensor):
    """A tensor that says it is on `cuda:0`; `raw` holds its values on the CPU."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor, requires_grad: bool = False):
        made = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype, device=CUDA,
            requires_grad=requires_grad,
        )  # fmt: skip
        made.raw = raw
        return made

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"OnCuda({self.raw})"

    def tolist(self):  # PyTorch has none for subclasses
        return self.raw.tolist()

    def new_tensor(self, data):  # nor one that puts it on the subclass's device
        return torch.tensor(data, dtype=self.dtype, device=self.device)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} ran outside made_up_cuda()")


def _raw(x):
    if isinstance(x, torch.device):
        return torch.device("cpu")
    return x.raw if isinstance(x, OnCuda) else x


class _Judged(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.judge = FakeTensorMode(allow_non_fake_inputs=False, shape_env=ShapeEnv())

    def _fake(self, x):
        if not isinstance(x, torch.Tensor):
            return x
        device = x.device
        with torch._C._DisableTorchDispatch():
            raw = x.raw if isinstance(x, OnCuda) else x
            bare = torch.empty_strided(raw.size(), raw.stride(), dtype=raw.dtype, device="meta")
        return FakeTensor(self.judge, bare, device)

    def _device_of_result(self, func, args, kwargs) -> torch.device:
        """The device of what `func` returns; only a mixture of devices is worth asking FakeTensorMode about."""
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, torch.device):  # asked for
                return x
        devices = {x.device for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        if len(devices) < 2:
            return next(iter(devices), torch.device("cpu"))
        with self.judge:
            fake = func(*tree_map(self._fake, args), **tree_map(self._fake, kwargs))
        return next(x.device for x in tree_leaves(fake) if isinstance(x, torch.Tensor))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        device = self._device_of_result(func, args, kwargs)
        raw_args, raw_kwargs = tree_map(_raw, (args, kwargs))
        out = func(*raw_args, **raw_kwargs)
        for given, raw in zip(args, raw_args, strict=True):
            if out is raw and isinstance(given, torch.Tensor) and given.device == device:  # in place
                return given
        return tree_map(lambda x: OnCuda(x) if isinstance(x, torch.Tensor) and device.type == "cuda" else x, out)


@contextmanager
def _a_guard():
    """Lend `cuda` the device guard of `meta`, which does nothing: without one, indexing asks for a driver."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    slots = (ctypes.c_void_p * 15).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    cuda, meta = 1, 14  # c10::DeviceType
    before, slots[cuda] = slots[cuda], slots[meta]
    try:
        yield
    finally:
        slots[cuda] = before


@contextmanager
def made_up_cuda():
    """Let `device="cuda"` work here; nothing that is made inside may be used outside."""
    no_driver = patch("torch.cuda._lazy_init")
    with no_driver, _a_guard(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _Judged():
        lift = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") as under FakeTensorMode
        try:
            yield CUDA
        finally:
            torch._C._set_only_lift_cpu_tensors(lift)


def on_cuda(value):
    """Return tensors (in any nesting) or a module, in place, on the made-up device; inside `made_up_cuda` only."""
    if isinstance(value, torch.nn.Module):
        moved: dict[int, torch.nn.Parameter] = {}  # tied weights stay tied
        for module in value.modules():
            for name, p in module._parameters.items():
                if p is not None:
                    module._parameters[name] = moved.setdefault(id(p), torch.nn.Parameter(OnCuda(p.data), False))
            for name, b in module._buffers.items():
                if b is not None:
                    module._buffers[name] = OnCuda(b)
        return value
    return tree_map(lambda x: OnCuda(x) if isinstance(x, torch.Tensor) else x, value)
