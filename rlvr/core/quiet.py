"""Silence the libraries' messages: what rlvr prints should be what a user can act on."""

import os
import warnings

# About the inside of transformers and torch, raised by settings that this package has to pass on.
_CHATTER = (
    r".*gradient_checkpointing` is deprecated",
    r".*'pin_memory' argument is set as true but no accelerator is found",
)


def quiet_libraries() -> None:
    """Silence telemetry, fork warnings, bars over a few hundred local rows, and two warnings nobody can act on.

    Must run before transformers and datasets are imported. A value that the user has set in the environment stays.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    for message in _CHATTER:
        warnings.filterwarnings("ignore", message=message)
