"""What several processes have to agree on."""

import torch


def any_process(flag: bool, device: torch.device | str = "cpu") -> bool:
    """Whether `flag` holds in any process of the launch (in this one, when it is alone); all must ask.

    >>> any_process(True)
    True
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return flag
    found = torch.tensor(int(flag), device=device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return bool(found)
