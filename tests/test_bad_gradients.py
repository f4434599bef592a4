"""An update that would poison the weights is left out, counted, and ends the run when it keeps coming."""

import copy
import math

import pytest
import torch
from transformers import TrainerState, TrainingArguments

from rlvr.core.errors import RunError
from rlvr.training.callbacks.bad_gradients import SkipBadGradients


def arguments(tmp_path, **kwargs):
    return TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **kwargs)


def step(model, optimizer, callback, args, gradient):
    for p in model.parameters():
        p.grad = torch.full_like(p, gradient)
    callback.on_pre_optimizer_step(args, TrainerState(), None, model=model)
    optimizer.step()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_neither_weights_nor_optimizer_move(tmp_path, value, capsys):
    """A bad step between two good ones leaves no trace: the same weights as without it."""
    model = torch.nn.Linear(3, 2)
    twin = copy.deepcopy(model)
    args, callback = arguments(tmp_path), SkipBadGradients(2)
    for net, gradients in ((model, (0.5, value, 0.25)), (twin, (0.5, 0.25))):
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
        for gradient in gradients:
            step(net, optimizer, callback, args, gradient)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert "the gradient is not finite" in capsys.readouterr().err
    logs = {"loss": 1.0}
    callback.on_log(args, TrainerState(), None, logs=logs)
    assert logs["updates_skipped"] == 1.0


def test_it_ends_the_run_only_in_a_row(tmp_path):
    model, args, callback = torch.nn.Linear(3, 2), arguments(tmp_path), SkipBadGradients(2, "runs/x/rollouts")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for gradient in (math.nan, 0.1, math.nan, 0.1):
        step(model, optimizer, callback, args, gradient)
    step(model, optimizer, callback, args, math.nan)
    with pytest.raises(RunError, match=r"2 times in a row, up to step 1. The batches are in runs/x/rollouts"):
        step(model, optimizer, callback, args, math.nan)


def test_one_bad_entry_among_good_ones_is_seen(tmp_path):
    model, callback = torch.nn.Linear(3, 2), SkipBadGradients(5)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    model.weight.grad[1, 2] = math.nan
    callback.on_pre_optimizer_step(arguments(tmp_path), TrainerState(), None, model=model)
    assert callback.skipped == 1


def test_the_count_goes_on_after_a_resume(tmp_path):
    args, first, second = arguments(tmp_path), SkipBadGradients(3), SkipBadGradients(3)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        step(model, optimizer, first, args, math.nan)
    second.load_resume_state(first.resume_state())
    with pytest.raises(RunError, match="3 times in a row"):
        step(model, optimizer, second, args, math.nan)
    assert second.skipped == 3


def test_all_gradients_are_read_from_the_device_at_once(tmp_path):
    """Each read of a GPU waits for all that runs there: one a step, not one a parameter."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    model, callback = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(5))), SkipBadGradients(5)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    args = arguments(tmp_path)
    with Reads() as reads:
        callback.on_pre_optimizer_step(args, TrainerState(), None, model=model)
    assert reads.count == 1
