"""The commands of `rlvr`, one file each: docstring = summary, EXAMPLES, and run(argv) -> exit status.

A command parses, calls and prints; what it imports is imported when it runs, so that `rlvr ls` loads no torch.
"""

import importlib
from types import ModuleType

COMMANDS = (
    "train",
    "plan",
    "warmup",
    "evaluate",
    "score",
    "import",
    "export",
    "ablate",
    "select",
    "decide",
    "decode",
    "calibrate",
    "report",
    "check",
    "doctor",
    "explain",
    "ls",
    "cp",
)


def load(name: str) -> ModuleType:
    """Return the module of a command.

    >>> load("ls").__doc__
    'List recipes, reward terms, problem sets, advantages and models.'
    """
    return importlib.import_module(f"rlvr.commands.{name}")
