"""Judge a program that a model wrote by the tests of its row; only plain values leave its sandbox.

The tests run here, in the verifier's worker process; the program runs in one of its own (code_host.py):

    tests            assert add(2, 3) == 5        `add` stands for the program's function
    add(2, 3)        -> the name and the arguments to the sandbox
    5                <- the value back

So a program cannot claim to have passed: it never sees a test, and sys.exit(0), printing, or an object whose __eq__ is
always true end as an error or as a value that is wrong. The sandbox has no network, sees no other process, writes only
into a folder of its own, and has limits on time, memory, files and processes. It is a fence against accidents and
shortcuts, not against an attacker who knows a hole in Linux. Off unless the environment variable RLVR_RUN_CODE=1 asks
for it; Linux only.
"""

import builtins
import json
import math
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from rlvr.core.errors import DataError
from rlvr.problems.verifiers.code_host import UNFENCED, decode, encode

_HOST = Path(__file__).with_name("code_host.py")
_FENCE = re.compile(r"```[a-zA-Z0-9_+-]*\n(.*?)```", re.DOTALL)
SECONDS, MEMORY_MB, LONGEST = 10.0, 512, 1_000_000  # of one program; bytes of one value


class ProgramError(Exception):
    """Report that a program gave no value: it ended, took too long, or returned or raised what is not plain."""


def passes_tests(answer: str, tests: Sequence[str], seconds: float = SECONDS, memory_mb: int = MEMORY_MB) -> bool:
    """Return whether the program in `answer` passes all `tests`, Python statements such as `assert add(2, 3) == 5`.

    The program is the only fenced block of the answer, or the whole answer. What its functions get and give are plain
    values: None, bool, int, float, str, bytes, and lists, tuples, sets and dicts of these; a built-in exception is
    raised in the test. Raises DataError where nobody asked for running code, where this machine cannot fence it in, and
    for a test that is not Python.
    """
    if os.environ.get("RLVR_RUN_CODE") != "1":
        raise DataError(
            "verifier='code' runs programs that the model wrote, and nobody asked for that. Where it may happen, set "
            "the environment variable RLVR_RUN_CODE=1."
        )
    compiled = [_compile(test) for test in tests]
    blocks = _FENCE.findall(answer)
    if len(blocks) > 1 or not compiled:  # two programs are no answer, and no test is no proof
        return False
    with tempfile.TemporaryDirectory(prefix="rlvr-code-") as folder:
        sandbox = Sandbox(folder, seconds, memory_mb)
        try:
            functions = sandbox.load(blocks[0] if blocks else answer)
            for test in compiled:
                exec(test, dict(functions))
        except DataError:
            raise
        except Exception:  # a failed assertion, no value, or what the program's error does in the test
            return False
        finally:
            sandbox.close()
    return True


def _compile(test: str) -> CodeType:
    try:
        return compile(test, "<test>", "exec")
    except (SyntaxError, ValueError) as error:
        raise DataError(f"A test for verifier='code' is not Python: {error}: {test!r:.120}") from None


class Sandbox:
    """Hold the process in which one program runs, for at most `seconds` and with at most `memory_mb` megabytes."""

    def __init__(self, folder: str, seconds: float, memory_mb: int):
        self._end = time.monotonic() + seconds
        # In the worker's process group, so that what ends the worker ends the program.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_HOST), folder, str(math.ceil(seconds)), str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder},
            bufsize=0,
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]

    def load(self, program: str) -> dict[str, Callable[..., Any]]:
        """Run a program and return its functions, by name; ProgramError where it ends with an error."""
        reply = self._ask({"program": program})
        names = reply.get("names")
        if not isinstance(names, list):
            raise ProgramError(reply.get("error"))
        return {str(name): self._function(str(name)) for name in names}

    def close(self) -> None:
        """Kill the program and all that it started."""
        self._selector.close()
        self._process.kill()
        self._process.communicate()

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            reply = self._ask({"call": name, "args": encode(list(args)), "kwargs": encode(kwargs)})
            if "value" in reply:
                return decode(reply["value"])
            error = getattr(builtins, str(reply.get("error")), None)
            if isinstance(error, type) and issubclass(error, Exception):
                raise error
            raise ProgramError(reply.get("error"))

        return call

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and return the reply; ProgramError where none comes in time."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: PT018
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
        except OSError:
            self._ended()
        line = b""
        while not line.endswith(b"\n"):
            left = self._end - time.monotonic()
            if left <= 0 or len(line) > LONGEST or not self._selector.select(left):
                raise ProgramError("no value in time, or one without end")
            if not (more := os.read(stdout.fileno(), 65536)):
                self._ended()
            line += more
        reply = json.loads(line)
        return reply if isinstance(reply, dict) else {}

    def _ended(self) -> None:
        """Raise for a process that has ended: ProgramError, or DataError where it could not be fenced in."""
        if self._process.wait() == UNFENCED:
            raise DataError(
                "verifier='code' needs Linux 5.12 or later with user namespaces, and this machine has none, so no "
                "program could be kept from the network and from your files. Nothing was run."
            )
        raise ProgramError(f"ended with status {self._process.returncode}")
