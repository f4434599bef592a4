"""Count how many runs of an ablation fit into memory at once, by the cost model of `rlvr plan`."""

from collections.abc import Sequence
from contextlib import suppress

from accelerate import PartialState

from rlvr.config.settings import TrainConfig, build_config
from rlvr.core.console import say
from rlvr.core.errors import RlvrError
from rlvr.planning import cost
from rlvr.planning.ablation.arms import Run
from rlvr.planning.ablation.check import Resolved


def jobs_that_fit(runs: Sequence[Run], jobs: int, resolved: Resolved | None = None) -> int:
    """Return `jobs`, or as many as fit where the largest arm takes more than its share of the memory; at least 1.

    `resolved`: the arms as `resolve_arms` found them; without, they are resolved here, and what fails is left out.
    """
    device = PartialState().device
    if jobs == 1 or device.type != "cpu":  # on a GPU runs share a card only if the user says so
        return jobs
    resolved = _those_that_resolve(runs) if resolved is None else resolved
    peaks = {arm: cost.peak(cost.memory_rows(*found)) for arm, found in resolved.items()}
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


def _those_that_resolve(runs: Sequence[Run]) -> Resolved:
    found: Resolved = {}
    for run in {run.arm: run for run in runs}.values():
        with suppress(RlvrError):
            found[run.arm] = cost.resolve_job(build_config(TrainConfig, dict(run.settings)))
    return found
