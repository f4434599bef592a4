"""Judge a program that a model wrote by the tests of its row; only plain values leave its sandbox.

Two sandboxes (code_host.py), and this process between them, which reads JSON and runs nothing:

    tests: assert add(2, 3) == 5        `add` stands for the program's function
    -> the name and the arguments       -> to the program
    <- 5                                <- its value

So a program cannot claim to have passed: it never sees a test, and sys.exit(0), printing, or an object whose __eq__ is
always true end as an error or as a value that is wrong. A sandbox has no network, sees no other process, writes only
into a folder of its own, and has limits on time, memory, files and processes. It is a fence against accidents and
shortcuts, not against an attacker who knows a hole in Linux. Off unless the environment variable RLVR_RUN_CODE=1 asks
for it; Linux only.
"""

import ast
import json
import math
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rlvr.core.errors import DataError
from rlvr.problems.verifiers.code_host import UNFENCED

_HOST = Path(__file__).with_name("code_host.py")
_FENCE = re.compile(r"```[a-zA-Z0-9_+-]*\n(.*?)```", re.DOTALL)
SECONDS, MEMORY_MB, LONGEST = 10.0, 512, 1_000_000  # of one sandbox; bytes of one value


class ProgramError(Exception):
    """Report that a sandbox gave no reply: its process ended, took too long, or wrote what is none."""


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
    for test in tests:
        try:
            ast.parse(test)
        except (SyntaxError, ValueError) as error:
            raise DataError(f"A test for verifier='code' is not Python: {error}: {test!r:.120}") from None
    blocks = _FENCE.findall(answer)
    if len(blocks) > 1 or not tests:  # two programs are no answer, and no test is no proof
        return False
    with Sandbox(seconds, memory_mb) as program, Sandbox(seconds, memory_mb) as judge:
        try:
            names = program.ask({"program": blocks[0] if blocks else answer}).get("names")
            if not isinstance(names, list):  # it ended with an error
                return False
            reply = judge.ask({"tests": list(tests), "names": names})
            while "call" in reply:
                reply = judge.ask(program.ask(reply))
        except ProgramError:
            return False
    return reply.get("passed") is True


class Sandbox:
    """Hold one fenced process, for at most `seconds` and with at most `memory_mb` megabytes; `with` ends it."""

    def __init__(self, seconds: float, memory_mb: int, folder: str | None = None):
        self._folder = tempfile.TemporaryDirectory(prefix="rlvr-code-")
        self._end = time.monotonic() + seconds
        folder = folder or self._folder.name
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """Kill the process and all that it started, and remove its folder."""
        self._selector.close()
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and return the reply (see code_host.py); ProgramError where none comes in time."""
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
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            raise ProgramError("no JSON") from None
        if not isinstance(reply, dict):
            raise ProgramError("no reply")
        return reply

    def _ended(self) -> None:
        """Raise for a process that has ended: ProgramError, or DataError where it could not be fenced in."""
        if self._process.wait() == UNFENCED:
            raise DataError(
                "verifier='code' needs Linux 5.12 or later with user namespaces, and this machine has none, so no "
                "program could be kept from the network and from your files. Nothing was run."
            )
        raise ProgramError(f"ended with status {self._process.returncode}")
