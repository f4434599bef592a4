"""rlvr: a laboratory for reinforcement learning with verifiable rewards on small language models.

The public names, imported on first use so that `import rlvr` stays light.
"""

import importlib
from typing import Any

from rlvr.core.old_names import install

install()

_HOME = {
    "same_answer": "problems.math_answers",
    "problem_set": "problems.sets",
    "load_rows": "problems.rows",
    "verify_answer": "problems.verifiers",
    "verifier_function": "problems.verifiers",
    "json_object": "core.json_rows",
    "SpecError": "core.errors",
    "DataError": "core.errors",
    "Completion": "core.records",
    "Problem": "core.records",
    "Rollouts": "advantages.rollouts",
    "Signal": "advantages.rollouts",
    "Term": "rewards.terms",
    "as_trl_reward": "rewards.terms",
    "load_terms": "rewards.terms",
    "Transform": "advantages",
    "build": "advantages",
    "chain": "advantages",
    "explain": "advantages",
    "PassRate": "runs.pass_rate",
    "RLVRTrainer": "training.trainer",
    "TrainConfig": "config.settings",
    "EvalConfig": "config.eval_settings",
    "load_model": "models.load",
    "load_problems": "problems.sets",
    "write_report": "report",
    "RlvrError": "core.errors",
    "Run": "report.results",
    "Evaluation": "report.results",
    "Ablation": "report.results",
    "ablate": "commands.ablate",
    "decode": "commands.decode",
    "select_student": "commands.select",
    "score": "commands.api",
    "import_log": "commands.api",
    "prune": "select.command",
    "rank": "decide.ranking.rank",
}
_CALLED = {"train": "train", "evaluate": "measure.evaluate"}  # modules that are called, see core/callable_module.py
__all__ = sorted([*_HOME, *_CALLED])


def __getattr__(name: str) -> Any:
    if name in _CALLED:
        return importlib.import_module(f"rlvr.{_CALLED[name]}")
    if name not in _HOME:
        raise AttributeError(f"module 'rlvr' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rlvr.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
