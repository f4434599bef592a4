"""Runs the product, imported once, in forked processes that may be killed at a chosen file event."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPO


class Forks:
    """The product, imported once; `run` forks a process of it that may die (tests/kill_points.py)."""

    def __init__(self, log: Path):
        self.log = log
        command = [sys.executable, "-m", "tests.kill_points"]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        self.server = subprocess.Popen(
            command, cwd=REPO, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, argv, cache, kill=None) -> tuple[int, str]:
        """Return the exit status (-9: killed) and what was printed."""
        self.log.unlink(missing_ok=True)
        request = {"argv": argv, "env": {"RLVR_CACHE": str(cache)}, "log": str(self.log), "kill": kill}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        status = json.loads(self.server.stdout.readline())["status"]
        return status, self.log.read_text()

    @property
    def events(self) -> int:
        """How many file events the last run had."""
        return len(Path(f"{self.log}.events").read_text().splitlines())
