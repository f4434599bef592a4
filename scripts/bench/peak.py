"""Reads the peak memory of this process: the GPU's where the work is there, else the resident memory."""

import resource

import torch


def reset_peak(device: torch.device) -> None:
    """Forget the peak so far (on a GPU; the resident peak of a process cannot be reset)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float:
    """Return the most memory that was allocated at once, in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
