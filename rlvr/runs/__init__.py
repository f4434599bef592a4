"""Run directories: made, reopened, locked and read; checkpoints, rollouts, evaluations and pass rates inside them."""

from rlvr.core.old_names import names_of

__getattr__ = names_of("rlvr.runs.directory")  # `rlvr.runs` was the file directory.py: what it holds is found here too
