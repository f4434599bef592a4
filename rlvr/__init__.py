"""rlvr: a laboratory for reinforcement learning with verifiable rewards on small language models.

The public names, imported on first use so that `import rlvr` stays light.
"""

import importlib
from typing import Any

_HOME = {
    "Completion": "records",
    "Problem": "records",
    "Rollouts": "rollouts",
    "Signal": "rollouts",
    "Term": "terms",
    "as_trl_reward": "terms",
    "load_terms": "terms",
    "Transform": "advantages",
    "build": "advantages",
    "chain": "advantages",
    "explain": "advantages",
    "PassRate": "select.pass_rate",
    "RLVRTrainer": "trainer",
    "TrainConfig": "config",
    "EvalConfig": "config",
    "load_model": "models",
    "load_problems": "problems",
    "write_report": "report",
    "RlvrError": "errors",
    "Run": "results",
    "Evaluation": "results",
    "Ablation": "results",
}
_CALLED = ("train", "evaluate")  # modules that are called: rlvr.train(...), see callable_module.py
__all__ = sorted([*_HOME, *_CALLED])


def __getattr__(name: str) -> Any:
    if name in _CALLED:
        return importlib.import_module(f"rlvr.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'rlvr' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rlvr.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
