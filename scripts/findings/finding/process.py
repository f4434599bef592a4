"""Run a command of rlvr as a user would."""

import subprocess
import sys


def run_rlvr(*argv: str) -> str:
    """Run `rlvr` in a process of its own and return what it printed; RuntimeError with its last words if it fails."""
    done = subprocess.run([sys.executable, "-m", "rlvr", *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"rlvr {' '.join(argv)} failed:\n{done.stderr[-3000:]}")
    return done.stdout
