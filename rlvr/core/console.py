"""Log what rlvr is doing on one channel, `logging.getLogger("rlvr")`; results go to standard output.

Messages below WARNING are progress. Without any set-up they appear on standard error, as they are; a program that
configures logging gets them as records instead, and `logging.getLogger("rlvr").setLevel(logging.ERROR)` silences them.
"""

import functools
import logging
import sys

LOG = logging.getLogger("rlvr")


class Terminal(logging.Handler):
    """Print each message on a line of standard error, unless the program has configured logging itself.

    `always` prints in any case: the command's output is its own.
    """

    always = False

    def emit(self, record: logging.LogRecord) -> None:
        if self.always or not logging.getLogger().handlers:
            print(self.format(record), file=sys.stderr, flush=True)  # whatever standard error is at this moment


_TERMINAL = Terminal()
LOG.addHandler(_TERMINAL)
if LOG.level == logging.NOTSET:  # else somebody has chosen already
    LOG.setLevel(logging.INFO)


def take_terminal() -> None:
    """Print every message on standard error, whoever has configured logging: what the command does."""
    _TERMINAL.always = True


def say(message: str) -> None:
    """Log progress on the main process of a launch; a message that begins with WARNING is one."""
    from accelerate import PartialState  # here: most commands have one process and load no torch

    if PartialState().is_main_process:
        LOG.log(logging.WARNING if message.startswith("WARNING") else logging.INFO, message)


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning unless this process has logged it before."""
    LOG.warning(message)
