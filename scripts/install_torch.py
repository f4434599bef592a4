"""Install PyTorch by this Python's pip: the CPU build on Linux without an NVIDIA GPU, pip's own choice elsewhere.

    .venv/bin/python scripts/install_torch.py -c constraints.txt               what make setup runs
    TORCH=cpu .venv/bin/python scripts/install_torch.py -c constraints.txt     the CPU build, or an error
    TORCH=cuda .venv/bin/python scripts/install_torch.py -c constraints.txt    pip's own choice, on any Linux

On Linux PyPI's torch is the CUDA build: 29 wheels, 2.7 GB. PyTorch's CPU index has one of 0.2 GB, and is asked first
where there is no `nvidia-smi`; if it does not answer within --wait seconds, or pip fails there, pip's own choice is
installed, and what that downloads is said before. Where torch is installed already, only pip decides. Arguments that
this script does not know go to pip. TORCH_INDEX is the address of the CPU index, for a mirror of it.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import urllib.request

INDEX = "https://download.pytorch.org/whl/cpu"
DEFAULT = {
    "linux": "on Linux PyPI's is the CUDA build, 2.7 GB in 29 wheels",
    "darwin": "PyPI's for macOS is 0.1 GB",
    "win32": "PyPI's for Windows is 0.1 GB, without CUDA",
}


def ask(index: str, seconds: float) -> str:
    """Ask a package index for torch and return why it cannot be used: "" if it can.

    The limit holds for everything together (looking up the name, a server that dawdles), so the question runs in a
    thread that is left behind when its time is up.
    """
    answer = [f"no answer within {seconds:g} s"]

    def request() -> None:
        try:
            with urllib.request.urlopen(f"{index}/torch/", timeout=seconds) as page:
                found = "torch-" in page.read().decode(errors="replace")
                answer[0] = "" if found else "its page lists no torch"
        except TimeoutError:
            pass  # the answer stands
        except (OSError, ValueError) as error:
            if not isinstance(getattr(error, "reason", None), TimeoutError):
                answer[0] = str(error)

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0]


def choose(wish: str, platform: str, has_nvidia: bool, index: str, seconds: float) -> tuple[bool, str]:
    """Return whether torch comes from the CPU index, and the reason.

    >>> choose("auto", "darwin", False, INDEX, 5)
    (False, "PyPI's for macOS is 0.1 GB")
    """
    default = DEFAULT.get(platform, f"whatever PyPI has for {platform}")
    if wish not in ("auto", "cpu", "cuda"):
        raise ValueError(f"TORCH={wish}: cpu, cuda, or nothing to let the machine decide.")
    if wish == "cuda" and platform != "linux":
        raise ValueError(f"TORCH=cuda: {default}. https://pytorch.org/get-started says which index has CUDA builds.")
    if wish == "cpu":
        return platform == "linux", "TORCH=cpu"
    if wish == "cuda" or platform != "linux":
        return False, default
    if has_nvidia:
        return False, f"nvidia-smi is here; {default}. TORCH=cpu takes the CPU build"
    refusal = ask(index, seconds)
    if refusal:
        return False, f"no nvidia-smi, but the CPU index {index} cannot be used ({refusal}); {default}"
    return True, "no nvidia-smi; 0.2 GB. TORCH=cuda takes the CUDA build"


def main() -> int:
    """Choose the build, say so, and let pip install it; return pip's exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--wait", type=float, default=5.0, help="seconds that the CPU index has to answer (default 5)")
    args, rest = parser.parse_known_args()
    wish, index = os.environ.get("TORCH") or "auto", os.environ.get("TORCH_INDEX") or INDEX
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "torch", *rest]
    if wish == "auto" and importlib.util.find_spec("torch") is not None:
        return subprocess.run(pip, check=False).returncode
    try:
        from_index, reason = choose(wish, sys.platform, shutil.which("nvidia-smi") is not None, index, args.wait)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if from_index:
        print(f"torch: the CPU build from {index} ({reason}).", flush=True)
        done = subprocess.run([*pip, "--index-url", index, "--timeout", "15", "--retries", "2"], check=False)
        if done.returncode == 0:
            return 0
        if wish == "cpu":
            print(f"torch: pip failed with {index}, and TORCH=cpu rules out another build.", file=sys.stderr)
            return done.returncode
        reason = f"pip failed with the CPU index; {DEFAULT[sys.platform]}"
    print(f"torch: pip's own choice ({reason}).", flush=True)
    return subprocess.run(pip, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
