"""The run directory of a launch: made or reopened by one process, known to all, and locked against other launches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rlvr import checkpoints, runs
from rlvr.callbacks import say
from rlvr.config import TrainConfig, to_yaml


@contextmanager
def open_run(
    config: TrainConfig, recipes: Sequence[str], argv: Sequence[str], resume: Path | None
) -> Iterator[tuple[runs.RunDir, Path | None]]:
    """Create the run directory, or reopen `resume`; give it and the checkpoint to go on from (None: the start).

    A reopened run is rewound to that checkpoint, so that its metrics and rollouts have no gap and no double line.
    Until the block ends the directory is locked: a second process that would write there stops with a message. The
    system drops the lock of a process that dies, however it dies.
    Raises RunError when it cannot be made, already holds a run, is none, or is being written.
    """
    state = PartialState()
    name = [config.output_dir or str(Path("runs") / runs.run_name(recipes, config.model, config.seed))]
    broadcast_object_list(name)
    run, checkpoint = runs.reopen(resume) if resume else runs.RunDir(Path(name[0])), None
    with runs.locked(run.path) if state.is_main_process else nullcontext():
        if state.is_main_process:
            if not resume:
                runs.create(run.path, to_yaml(config), argv, str(config.precision))
            say(f"run directory: {run.path}")
        if resume:
            checkpoint = checkpoints.newest(run.checkpoints)
            say(f"going on from {checkpoint.name if checkpoint else 'the start: there is no whole checkpoint yet'}")
            if state.is_main_process:
                run.rewind(checkpoints.step_of(checkpoint) if checkpoint else 0)
        state.wait_for_everyone()
        config.output_dir = str(run.checkpoints)
        yield run, checkpoint
