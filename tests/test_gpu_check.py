"""scripts/gpu_check.py: its parts on the CPU for real, what it says without a GPU, and a part that fails or hangs."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import REPO

SCRIPT = REPO / "scripts" / "gpu_check.py"


@pytest.fixture(scope="module")
def check():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_check"]


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_parts_that_fail_or_hang_are_reported_and_stop_no_other(check, tmp_path):
    out = tmp_path / "figures.json"
    parts = [
        check.Part("broken", command("raise ValueError('no kernel | image')"), 60),
        check.Part("hangs", command("import time; time.sleep(60)"), 5),
        check.Part(
            "works", command(f"open({str(out)!r}, 'w').write('[3]')"), 60, out, lambda found: {"x": str(found[0])}
        ),
    ]
    outcomes = [check.run(part, tmp_path, 100, dict(os.environ)) for part in parts]
    assert [o.state for o in outcomes] == ["failed", "timed out", "ok"]
    assert "no kernel" in outcomes[0].detail and outcomes[1].seconds < 30 and outcomes[2].figures == {"x": "3"}
    assert check.run(parts[0], tmp_path, 2, {}).state == "skipped"  # the ten minutes are over
    table = check.markdown({"device": "a card"}, outcomes)
    assert "device a card" in table and "| works | ok |" in table and "| | | | x: 3 |" in table
    assert all(line.count("|") == 5 for line in table.splitlines() if line.startswith("|"))


def test_which_parts_there_are(check, tmp_path):
    facts = {"device": "H100, 80 GiB", "count": 1, "vllm": False, "precision": "bfloat16"}
    names = lambda **change: [p.name for p in check.parts(tmp_path, "tiny", facts | change, quick=False)]  # noqa: E731
    assert len(names()) == 3
    assert names(vllm=True, count=2)[-3:] == [
        "sampling: rlvr against vLLM",
        "a step with vLLM",
        "two processes on two GPUs",
    ]
    assert sum(p.limit for p in check.parts(tmp_path, "tiny", facts | {"count": 2}, quick=False)) < check.TOTAL
    assert all(
        (REPO / arg).exists()
        for p in check.parts(tmp_path, "tiny", facts, False)
        for arg in p.command
        if arg.endswith(".py")
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and not (tmp_path / "none").exists()
    assert "no GPU is visible" in done.stderr and "--device cpu --quick" in done.stderr


@pytest.mark.slow
def test_the_whole_script_on_the_cpu(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert [part["state"] for part in found["parts"]] == ["ok"] * 3
    tests, sampling, step = found["parts"]
    assert "passed" in tests["detail"]
    assert {"rlvr, 8 sequences", "transformers, 8 sequences"} <= set(sampling["figures"])
    assert "s a step" in step["figures"]["rlvr"] and "peak" in step["figures"]["trl"]
    assert "rlvr, 8 sequences" in (tmp_path / "gpu_check.md").read_text()
