"""Ask all processes of a launch whether something holds, and keep each process to a GPU of its own."""

import torch
from transformers import TrainingArguments


def any_process(flag: bool, device: torch.device | str = "cpu") -> bool:
    """Return whether `flag` holds in any process of the launch (in this one, when it is alone); all must ask.

    >>> any_process(True)
    True
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return flag
    raised = torch.tensor(int(flag), device=device)
    torch.distributed.all_reduce(raised, torch.distributed.ReduceOp.MAX)
    return bool(raised)


def take_one_gpu(args: TrainingArguments) -> None:
    """Keep this process to its own GPU, where several are visible.

    transformers would copy the model to all of them (DataParallel), which TRL refuses. A launch with one process per
    GPU uses them all (docs/scale.md).
    """
    if args.n_gpu > 1:
        args._n_gpu = 1
