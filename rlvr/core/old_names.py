"""Find modules and keywords under the names that they had before, so that files written for those go on working."""

import functools
import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

MOVED = {
    "ablation": "planning.ablation",
    "ablation.memory": "planning.ablation.parallel_jobs",
    "ablation.plan": "planning.ablation.arms",
    "ablation.summary": "report.ablation.summary",
    "ablation.text": "report.ablation.text",
    "ablation.write": "report.ablation.write",
    "alarms": "training.callbacks.alarms",
    "answer_metrics": "training.answer_metrics",
    "api": "commands.api",
    "bad_gradients": "training.callbacks.bad_gradients",
    "budget": "training.callbacks.rollout_budget",
    "calibrate": "training.supervised.calibrate",
    "callable_module": "core.callable_module",
    "callbacks": "training.callbacks.progress",
    "checkpoints": "runs.checkpoints",
    "cli": "commands.main",
    "console": "core.console",
    "content": "core.specs",
    "copies": "problems.copies",
    "cost": "planning.cost",
    "cost.machine": "planning.cost.speed",
    "cost.resolve": "planning.cost.from_config",
    "critic": "training.critic",
    "decide.proxy": "models.sampling.proxy",
    "decide.rank": "decide.ranking.rank",
    "distributed": "core.distributed",
    "doctor": "planning.doctor",
    "epoch_sampler": "training.epoch_sampler",
    "errors": "core.errors",
    "eval_file": "runs.eval_file",
    "evaluate": "measure.evaluate",
    "exact_resume": "training.resume",
    "files": "core.files",
    "generate": "models.sampling",
    "head": "models.forward.head",
    "json_rows": "core.json_rows",
    "launch": "runs.open",
    "machine": "planning.parts",
    "measure.metrics.records": "measure.metrics.arrays",
    "math_answers": "problems.math_answers",
    "memory": "core.malloc_settings",
    "metrics": "measure.metrics",
    "number_forms": "problems.number_forms",
    "packing": "models.forward.packing",
    "parse": "core.parse",
    "plan": "planning.resolve",
    "plots": "measure.plots",
    "precision": "models.precision",
    "prompts": "problems.prompts",
    "quiet": "core.quiet",
    "records": "core.records",
    "results": "report.results",
    "resume": "runs.resume",
    "rollouts": "advantages.rollouts",
    "rollouts_file": "runs.rollouts_file",
    "safety": "rewards.audit",
    "sampling_pass": "training.sampling",
    "select.difficulty_sampler": "training.curriculum.difficulty_sampler",
    "select.dynamic_sampling": "training.curriculum.dynamic_sampling",
    "select.files": "select.command",
    "select.fresh_problems": "training.curriculum.fresh_problems",
    "select.pass_rate": "runs.pass_rate",
    "select.propensity": "training.curriculum.propensity",
    "setting_checks": "config.checks",
    "shared_attention": "models.forward.shared_attention",
    "signal_metrics": "training.batch_metrics",
    "spans": "training.confidence_start",
    "stop": "training.callbacks.stop_signal",
    "term_calls": "rewards.limits",
    "terms": "rewards.terms",
    "tokenised_brier": "training.supervised.tokenised_brier",
    "trainer": "training.trainer",
    "trainer_inputs": "training.inputs",
    "training_pass": "training.forward",
    "verdicts": "training.verdicts",
    "verify": "problems.verifier",
    "warmup": "training.supervised.warmup",
    "worked": "problems.worked",
    "worker": "core.worker",
    "yaml_file": "core.yaml_file",
}


class OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import `rlvr.<old name>` as the module that it has become, with a DeprecationWarning."""

    def find_spec(self, fullname, path=None, target=None):
        """Return a spec for an old name; None leaves every other module to the other finders."""
        return importlib.util.spec_from_loader(fullname, self) if self._new(fullname) else None

    def create_module(self, spec) -> ModuleType:
        """Return the module under its present name."""
        new = self._new(spec.name)
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        self._spec = (module := importlib.import_module(str(new))).__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back: the import system has just set the old name's."""
        module.__spec__ = self._spec

    @staticmethod
    def _new(name: str) -> str | None:
        """Return the present name of an old one, with what follows it; the longest old name counts."""
        parts = name.split(".")
        if parts[0] != "rlvr":
            return None
        for n in range(len(parts), 1, -1):
            if home := MOVED.get(".".join(parts[1:n])):
                return ".".join(["rlvr", home, *parts[n:]])
        return None


def names_of(module: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a folder that was a file once: it takes names from `module`, loaded when asked."""

    def get(name: str) -> Any:
        if name.startswith("__") or importlib.util.find_spec(f"{module.rpartition('.')[0]}.{name}"):
            raise AttributeError(name)  # a file of the room is imported, not looked up in another
        return getattr(importlib.import_module(module), name)

    return get


def old_keywords(**new: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function take keywords that its parameters had before: `@old_keywords(old="new")`, with a warning.

    >>> @old_keywords(record="evaluation")
    ... def problems(evaluation):
    ...     return len(evaluation)
    >>> problems(evaluation=[1]), problems(record=[1, 2])
    (1, 2)
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in new.keys() & kwargs.keys():
                text = f"{function.__qualname__}: the keyword {old!r} is now {new[old]!r}"
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                if new[old] in kwargs:
                    raise TypeError(f"{text}. Give one of them.")
                kwargs[new[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def install() -> None:
    """Make old names importable; a second call does nothing."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldNames())  # before the finders that would read the file under an old name, twice
