"""Run the `rlvr` command: find the command, run it, and turn errors into one line; no logic of its own."""

import contextlib
import os
import sys
from collections.abc import Sequence

from rlvr.commands import COMMANDS, load
from rlvr.core.console import take_terminal
from rlvr.core.errors import RlvrError, did_you_mean, failed_write
from rlvr.core.malloc_settings import keep_freed_memory
from rlvr.core.quiet import quiet_libraries


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; mistakes that a user can mend are printed without a traceback.

    Exit status: 2 a mistake, 75 stopped by a signal and saved, 130 interrupted, 141 nobody reads the output any more,
    1 anything else that went wrong.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    quiet_libraries()
    take_terminal()
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0
    command, rest = argv[0], argv[1:]
    if command == "--version":
        from importlib.metadata import version

        print(f"rlvr {version('rlvr')}")
        return 0
    if command not in COMMANDS:
        print(f"rlvr: {did_you_mean('command', command, COMMANDS)}", file=sys.stderr)
        return 2
    for argument in rest:
        if not is_text(argument):
            print(
                f"rlvr {command}: {argument!r} is not UTF-8, and rlvr writes names and settings into text files. "
                "Rename the file or folder, or give a path in UTF-8.",
                file=sys.stderr,
            )
            return 2
    keep_freed_memory()
    try:
        return load(command).run(rest)
    except RlvrError as error:
        print(f"rlvr {command}: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(f"rlvr {command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head -2` closed it: the work is not done, as for any command that SIGPIPE ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # Python's own last flush must not fail as well
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
        return 128 + 13
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"rlvr {command}: {error.strerror or error}{where}", file=sys.stderr)
        return 1
    except Exception as error:
        reason = failed_write(error)
        if reason is None:
            raise
        hint = "Free some space; a run goes on with: rlvr train --resume RUN"
        print(f"rlvr {command}: {reason.removesuffix('.')}. {hint}", file=sys.stderr)
        return 1


def is_text(argument: str) -> bool:
    """Return whether a text can be written as UTF-8: an argument that is no UTF-8 arrives with lone surrogates.

    >>> is_text("é"), is_text("\\udcff")
    (True, False)
    """
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def overview() -> str:
    """Return the text of `rlvr --help`."""
    lines = [
        "usage: rlvr COMMAND [...]",
        "",
        "Reinforcement learning with verifiable rewards on small models.",
        "",
    ]
    lines += [f"  {name:<10} {load(name).__doc__}" for name in COMMANDS]
    return "\n".join([*lines, "", "rlvr COMMAND --help shows the options of a command, with examples."])


if __name__ == "__main__":
    sys.exit(main())
