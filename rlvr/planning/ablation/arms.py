"""Read an ablation's YAML file into its runs, checked before anything is trained.

base: [tiny]                       recipes that every arm starts from
set: {eval_size: 64}               settings of every arm
arms:
  correct_only: {recipes: [grpo]}
  rlcr: {recipes: [rlcr], set: {learning_rate: 1.0e-5}}
controls: [random_reward, format_only, untrained]
baseline: correct_only             differences are to this arm
seeds: [0, 1, 2, 3, 4]
budget: {updates: 20}              or {rollouts: 5120}: completions sampled, thrown-away ones included
measure: mine.py:after             a function that measures each finished run (measure.py)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlvr.config.recipe_files import read_recipes
from rlvr.config.settings import TrainConfig, build_config
from rlvr.core.errors import RunError, SpecError, did_you_mean
from rlvr.core.yaml_file import read_yaml

KEYS = ("base", "set", "arms", "controls", "baseline", "seeds", "budget", "measure")
CONTROLS: dict[str, dict[str, Any]] = {
    "random_reward": {"advantage": "grpo", "rewards": {"random_control": 1.0}, "allow_hackable": True},
    "format_only": {"advantage": "grpo", "rewards": {"format": 1.0}, "allow_hackable": True},
}
_PLAIN = re.compile(r"[A-Za-z0-9._+-]+")  # an arm's name is part of the names of its folders
UNTRAINED = "untrained"  # needs no run: what the baseline's runs measured before training


@dataclass(frozen=True)
class Run:
    """Hold one run of an ablation: an arm under a seed, and every setting it has but its hub_token, which is secret."""

    arm: str
    seed: int
    settings: Mapping[str, Any]
    hub_token: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.arm}-s{self.seed}"


@dataclass(frozen=True)
class Ablation:
    """Hold what an ablation file resolves to."""

    runs: tuple[Run, ...]
    arms: tuple[str, ...]
    baseline: str
    untrained: bool
    measure: str | None = None


def read_ablation(path: Path) -> Ablation:
    """Read and check an ablation file; every run's settings must make a TrainConfig.

    Raises SpecError naming the key, the arm or the setting that is wrong.
    """
    try:
        text = read_yaml(path)
    except OSError as error:
        raise SpecError(f"Cannot read the ablation {path}: {error.strerror}.") from error
    return check_ablation(text, str(path))


def check_ablation(text: Mapping[str, Any], path: str = "the ablation") -> Ablation:
    """Resolve the content of an ablation file into its runs; errors as of `read_ablation`."""
    for key in text:
        if key not in KEYS:
            raise SpecError(did_you_mean("key of an ablation", str(key), KEYS))
    arms = _part(text, "arms", dict)
    if not arms:
        raise SpecError(f"{path} names no arms, e.g. arms: {{rlcr: {{recipes: [rlcr]}}}}.")
    seeds = text.get("seeds", [0])
    whole = isinstance(seeds, list) and all(isinstance(s, int) and not isinstance(s, bool) for s in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise SpecError(f"seeds must be a list of different integers, got {seeds!r}.")
    controls = _part(text, "controls", list)
    for control in controls:
        if control not in (*CONTROLS, UNTRAINED):
            raise SpecError(did_you_mean("control", str(control), (*CONTROLS, UNTRAINED)))
        if control in arms:
            raise SpecError(f"{control!r} is the name of a control: rename the arm.")
    baseline = text.get("baseline", next(iter(arms)))
    if baseline not in list(arms):  # a list has no hash
        raise SpecError(did_you_mean("arm", str(baseline), arms, "The baseline must be one of them."))
    common = _part(text, "set", dict)
    base = _recipe_names(text, "base")
    settings = {}
    for name in arms:
        if not isinstance(name, str):
            raise SpecError(f"The name of arm {name!r} is read as {type(name).__name__}. Write it in quotes.")
        if name in (".", "..") or not _PLAIN.fullmatch(name):
            raise SpecError(
                f"An arm is named with letters, digits and . _ - + only: its folders are called by it. Got {name!r}."
            )
        own = _part(arms, name, dict)
        for key in own:
            if key not in ("recipes", "set"):
                raise SpecError(f"Arm {name!r}: " + did_you_mean("key of an arm", str(key), ("recipes", "set")))
        settings[name] = read_recipes([*base, *_recipe_names(own, "recipes")]) | common | _part(own, "set", dict)
    for control in controls:
        if control in CONTROLS:
            settings[control] = read_recipes(base) | common | CONTROLS[control]
    budget = _budget(text.get("budget"))
    runs = []
    for name, found in settings.items():
        checked = _checked(name, found, budget)
        token = checked.pop("hub_token", None)
        runs += [Run(name, seed, checked | {"seed": seed}, token) for seed in seeds]
    runs.sort(key=lambda run: seeds.index(run.seed))  # seed by seed: an early look compares every arm
    measure = text.get("measure")
    if not isinstance(measure, str | None):
        raise SpecError(f"measure must be path.py:function, got {measure!r}.")
    return Ablation(tuple(runs), tuple(settings), baseline, UNTRAINED in controls, measure)


DESCRIPTION = "ablation.yaml"  # in the ablation's folder: the file that it was started with
_TOKEN = re.compile(rb"""(\bhub_token["']?\s*:[ \t]*)[^\s,}#][^,}#\n]*""")


def without_tokens(text: bytes) -> bytes:
    """Return an ablation file without the values of hub_token: folders are shared.

    >>> without_tokens(b"set: {hub_token: hf_x, seed: 1}  # mine")
    b'set: {hub_token: null, seed: 1}  # mine'
    """
    return _TOKEN.sub(rb"\1null", text)


def reopen(folder: Path, baseline: str | None = None) -> Ablation:
    """Return the ablation that a folder holds, from the settings beside its runs and its copy of the file.

    `baseline` None takes the one that the file names. Raises RunError where the folder holds no ablation, SpecError
    where there is no such arm, or nothing says which arm is the baseline.
    """
    file = folder / DESCRIPTION
    text = read_yaml(file) if file.is_file() else {}
    named, seeds = [*_part(text, "arms", dict), *_part(text, "controls", list)], text.get("seeds", [0])
    runs = []
    for file in sorted((folder / "settings").glob("*-s*.yaml")):
        settings = read_yaml(file)
        run = Run(file.stem.rpartition("-s")[0], settings.get("seed", 0), settings)
        if not text or (run.arm in named and run.seed in seeds):  # else of an earlier version of the file
            runs.append(run)
    if not runs:
        raise RunError(f"{folder} holds no ablation: it has no settings/<arm>-s<seed>.yaml. Make one with rlvr ablate.")
    arms = sorted({run.arm for run in runs}, key=lambda arm: (named.index(arm) if arm in named else 0, arm))
    baseline = baseline or text.get("baseline") or next(iter(_part(text, "arms", dict)), None)
    if baseline is None:
        raise SpecError(f"{folder} does not say which arm is the baseline: give baseline=, one of {', '.join(arms)}.")
    if baseline not in arms:
        raise SpecError(did_you_mean("arm", baseline, arms))
    return Ablation(tuple(runs), tuple(arms), baseline, UNTRAINED in named)


def _part(parts: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return a copy of `parts[key]`, empty if it is absent or null; SpecError when it is no `kind` (dict or list)."""
    found = parts.get(key)
    if not isinstance(found, kind | None):
        raise SpecError(f"{key} must be a {'mapping' if kind is dict else 'list'}, got {found!r:.80}.")
    return kind(found or ())


def _recipe_names(parts: Mapping[str, Any], key: str) -> list[str]:
    names = _part(parts, key, list)
    if not all(isinstance(name, str) for name in names):
        raise SpecError(f"{key} must list recipes by name or path, got {names!r:.80}.")
    return names


def _budget(budget: Any) -> tuple[str, int] | None:
    if budget is None:
        return None
    if isinstance(budget, dict) and len(budget) == 1:
        ((kind, count),) = budget.items()
        if kind in ("updates", "rollouts") and isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return kind, count
    raise SpecError(f"budget must be {{updates: N}} or {{rollouts: N}} with N above 0, got {budget!r}.")


def _checked(arm: str, settings: dict[str, Any], budget: tuple[str, int] | None) -> dict[str, Any]:
    """Return the settings with the budget in them, if they make a TrainConfig."""
    try:
        config = build_config(TrainConfig, settings)
    except SpecError as error:
        raise SpecError(f"Arm {arm!r}: {error}") from error
    if budget is None:
        return dict(settings)
    kind, count = budget
    if kind == "updates":
        return settings | {"max_steps": count}
    per_update = config.per_device_train_batch_size * config.gradient_accumulation_steps
    if count < per_update:
        raise SpecError(f"Arm {arm!r}: one update samples {per_update} completions, but the budget is {count}.")
    return settings | {"max_steps": count // per_update, "max_rollouts": count}
