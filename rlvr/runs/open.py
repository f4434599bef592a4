"""Make or reopen the run directory of a launch in one process, tell all, and lock out other launches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rlvr.config.settings import TrainConfig, to_yaml
from rlvr.core.console import say
from rlvr.core.errors import RunError
from rlvr.core.files import write_whole
from rlvr.runs import checkpoints
from rlvr.runs import directory as runs
from rlvr.runs.resume import allowed_changes, stored_config, tell, trained


@dataclass(frozen=True)
class Start:
    """Hold where a launch begins: the run, the checkpoint to go on from (None: the start), what came before.

    `trained`: nothing is left to train, the model is saved whole. `seconds`: what earlier processes trained.
    """

    run: runs.RunDir
    checkpoint: Path | None = None
    trained: bool = False
    seconds: float = 0.0


@contextmanager
def open_run(config: TrainConfig, recipes: Sequence[str], argv: Sequence[str], resume: Path | None) -> Iterator[Start]:
    """Create the run directory, or reopen `resume`, and return where to begin.

    A reopened run is rewound to its newest whole checkpoint, so that its metrics and rollouts have no gap and no double
    line. Until the block ends the directory is locked: a second process that would write there stops with a message.
    The system drops the lock of a process that dies, however it dies.
    Raises RunError when it cannot be made, already holds a run, is none, is being written, or trains something else.
    """
    state = PartialState()
    name = [config.output_dir or str(Path("runs") / runs.run_name(recipes, config.model, config.seed))]
    broadcast_object_list(name)
    run = runs.reopen(resume) if resume else runs.RunDir(Path(name[0]))
    with runs.locked(run.path) if state.is_main_process else nullcontext():
        start: list[Start | None] = [None]
        if state.is_main_process:
            if not resume:
                runs.create(run.path, to_yaml(config), argv, str(config.precision))
            say(f"run directory: {run.path}")
            start = [_reopened(run, config, argv) if resume else Start(run)]
        broadcast_object_list(start)
        config.output_dir = str(run.checkpoints)
        config.run_name = config.run_name or run.path.resolve().name  # how trackers call it
        assert start[0] is not None
        yield start[0]


def _reopened(run: runs.RunDir, config: TrainConfig, argv: Sequence[str]) -> Start:
    """Find where the run stopped, remove what was written after that, and note the command that goes on."""
    changes = allowed_changes(run, stored_config(run), config)
    done = trained(run, config)
    checkpoint = checkpoints.newest(run.checkpoints)
    step = checkpoints.step_of(checkpoint) if checkpoint else 0
    if done:
        say("going on from the trained model: only measuring is left")
    elif 0 < config.max_steps < step:
        raise RunError(f"max_steps {config.max_steps} is less than the {step} steps that {run.path} has trained.")
    elif run.model.is_dir() and not checkpoint:
        raise RunError(
            f"{run.path} is trained and kept no checkpoint, so its length cannot change. Start another run from its "
            f"model: --model {run.model}"
        )
    else:
        say(f"going on from {checkpoint.name if checkpoint else 'the start: there is no whole checkpoint yet'}")
    tell(changes, config)
    run.sweep()
    seconds = run.seconds()
    history = checkpoints.logged(checkpoint) if checkpoint else []
    if done:
        notes = run.mend_metrics(history)
        if not run.metrics.is_file():
            notes.append(f"{run.metrics} is lost, and no checkpoint holds its lines")
    else:
        checkpoints.set_aside_after(run.checkpoints, step)
        notes = run.rewind(step, history)
    for note in notes:
        say(note)
    run.add_command(argv)
    if changes:
        write_whole(run.config, to_yaml(config))
    return Start(run, checkpoint, done, seconds)
