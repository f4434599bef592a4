"""How many runs of an ablation fit into memory at once, by the cost model of `rlvr plan`."""

from collections.abc import Sequence

from accelerate import PartialState

from rlvr import cost
from rlvr.ablation.plan import Run
from rlvr.callbacks import say
from rlvr.config import TrainConfig, build_config
from rlvr.errors import RlvrError


def jobs_that_fit(runs: Sequence[Run], jobs: int) -> int:
    """Return `jobs`, or as many as fit where the largest arm takes more than its share of the memory; at least 1.

    An arm that cannot be resolved is left to its own run, which will say why.
    """
    device = PartialState().device
    if jobs == 1 or device.type != "cpu":  # on a GPU runs share a card only if the user says so
        return jobs
    peaks = {}
    for run in {run.arm: run for run in runs}.values():
        try:
            shape, job, baseline = cost.resolve_job(build_config(TrainConfig, dict(run.settings)))
            peaks[run.arm] = cost.peak(cost.memory_rows(shape, job, baseline))
        except RlvrError:
            continue
    if not peaks:
        return jobs
    largest = max(peaks, key=lambda arm: peaks[arm])
    free = cost.available(device)
    fit = max(1, min(jobs, int(free // peaks[largest])))
    if fit < jobs:
        say(
            f"{fit} instead of {jobs} runs at a time: {largest} takes about {peaks[largest] / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free"
        )
    return fit
