"""A real OpenAI-compatible server on the loopback: `transformers serve`, with a tiny model."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from contextlib import contextmanager

import pytest

from rlvr.models.load import build_tiny

HAS_CLIENT = importlib.util.find_spec("openai") is not None
SERVES = HAS_CLIENT and all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "pydantic"))


def skip_loudly(reason):
    warnings.warn(reason, stacklevel=2)
    pytest.skip(f"SKIPPED: {reason}")


@contextmanager
def serve_tiny(folder):
    """Save a tiny model to `folder`, serve it, and yield the server's URL and the folder; skips where none can be."""
    if not SERVES:
        skip_loudly("transformers serve was not tried: pip install 'rlvr[endpoint]' fastapi uvicorn")
    model, tokenizer = build_tiny(seed=0, hidden=32, layers=1)
    model.generation_config.do_sample = True  # else transformers serve (5.23) is greedy at every temperature above 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys; from transformers.cli.transformers import main; sys.argv = ['transformers', *sys.argv[1:]]; main()"
    )
    argv = ["serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = folder.parent / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    try:
        for _ in range(600):
            if process.poll() is not None:
                pytest.fail(f"transformers serve ended: {log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait(20)
