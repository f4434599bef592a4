"""The errors that rlvr raises on purpose: each says what is wrong, what was found and what to do."""

import difflib
from collections.abc import Iterable


class RlvrError(Exception):
    """Report a mistake that a user can mend; the command line prints it without a traceback and exits with `status`."""

    status = 2


class SpecError(RlvrError, ValueError):
    """Report a `name(param=value)` spec, a recipe or a flag that cannot be understood."""


class DataError(RlvrError, ValueError):
    """Report a problem set, a row or a run file with the wrong content."""


class ModelError(RlvrError):
    """Report a model that cannot be found, loaded or used."""


class RunError(RlvrError):
    """Report a run directory that cannot be created, read or resumed."""


class Stopped(RlvrError):
    """End a run that a signal stopped after a saved checkpoint: nothing is wrong, and it can go on."""

    status = 75  # EX_TEMPFAIL: schedulers may try again


def failed_write(error: BaseException) -> str | None:
    """Return what happened where weights or optimizer states could not be written, None for any other error.

    safetensors and torch write them and raise errors of their own, which are no OSError.

    >>> failed_write(RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"))
    'Weights could not be written: [enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0'
    >>> failed_write(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    """
    text = str(error).strip().split("\n")[0]
    by_safetensors = type(error).__name__ == "SafetensorError" and "I/O error" in text
    by_torch = isinstance(error, RuntimeError) and ("PytorchStreamWriter" in text or "inline_container" in text)
    return f"Weights could not be written: {text}" if by_safetensors or by_torch else None


def did_you_mean(what: str, name: str, known: Iterable[str], hint: str = "") -> str:
    """Return the message for an unknown `name`: what it is, the nearest known names, all of them, a hint.

    >>> did_you_mean("reward term", "breir", ["brier", "correct"])
    "No reward term 'breir'. Did you mean 'brier'? Known: brier, correct."
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    listed = f" Known: {', '.join(known)}." if known else " None are known."
    return f"No {what} {name!r}.{guess}{listed}{' ' + hint if hint else ''}"
