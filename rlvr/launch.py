"""The run directory of a launch: made or reopened by one process, known to all."""

from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rlvr import checkpoints, runs
from rlvr.callbacks import say
from rlvr.config import TrainConfig, to_yaml


def open_run(
    config: TrainConfig, recipes: Sequence[str], argv: Sequence[str], resume: Path | None
) -> tuple[runs.RunDir, Path | None]:
    """Create the run directory, or reopen `resume`; return it and the checkpoint to go on from (None: the start).

    A reopened run is rewound to that checkpoint, so that its metrics and rollouts have no gap and no double line.
    Raises RunError when it cannot be made, already holds a run, or is none.
    """
    state = PartialState()
    name = [config.output_dir or str(Path("runs") / runs.run_name(recipes, config.model, config.seed))]
    broadcast_object_list(name)
    run, checkpoint = runs.RunDir(resume or Path(name[0])), None
    if state.is_main_process:
        run = runs.reopen(resume) if resume else runs.create(run.path, to_yaml(config), argv)
        say(f"run directory: {run.path}")
    if resume:
        checkpoint = checkpoints.newest(run.checkpoints)
        say(f"going on from {checkpoint.name if checkpoint else 'the start: there is no whole checkpoint yet'}")
        if state.is_main_process:
            run.rewind(checkpoints.step_of(checkpoint) if checkpoint else 0)
    state.wait_for_everyone()
    config.output_dir = str(run.checkpoints)
    return run, checkpoint
