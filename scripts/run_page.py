"""Run the ```bash blocks of a page in one folder and put what each printed below it, so that no output is typed in.

    python scripts/run_page.py docs/tour.md                in a temporary folder
    python scripts/run_page.py docs/proxy.md --folder DIR   in a folder that holds what the page needs

Only standard output is kept (progress and timings go to standard error); a failing command stops the run, and the
page stays as it was. Blocks marked ```sh are for readers and are not run.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_BLOCK = re.compile(r"```bash\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def run_page(page: Path, folder: Path) -> None:
    """Rewrite `page` with fresh output."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

    def run(block: re.Match) -> str:
        print(block[1], end="", file=sys.stderr)
        done = subprocess.run(
            ["bash", "-ec", block[1]],
            cwd=folder,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        lines = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
        return f"```bash\n{block[1]}```\n" + (f"\n```text\n{lines}\n```\n" if lines else "")

    page.write_text(_BLOCK.sub(run, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--folder", type=Path, help="where the commands run (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run_page(args.page, args.folder or Path(temporary))
