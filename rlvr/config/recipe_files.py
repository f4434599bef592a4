"""Find and read recipes: YAML files of settings, built in or by path."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlvr.core.errors import SpecError, did_you_mean
from rlvr.core.yaml_file import read_yaml

RECIPES = Path(__file__).parent / "recipes"


def recipes(folder: Path = RECIPES) -> dict[str, Path]:
    """Return every built-in recipe with its file; `RECIPES / "ablations"` holds the ablations."""
    return {p.stem: p for p in sorted(folder.glob("*.yaml"))}


def recipe_path(name: str, what: str = "recipe", folder: Path = RECIPES) -> Path:
    """Return the file of a recipe (or of `what` else `folder` holds): a built-in name or a path to a YAML file."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise SpecError(f"No {what} file {name!r} (looked in {Path(name).absolute().parent}).")
        return Path(name)
    known = recipes(folder)
    if name not in known:
        raise SpecError(did_you_mean(what, name, known, "Or give a path ending in .yaml."))
    return known[name]


def read_recipes(names: Iterable[str]) -> dict[str, Any]:
    """Read and merge recipes from left to right; the result still has to be checked against the fields.

    A recipe's `beside: {nsr: {learning_rate: 3.0e-5}}` holds settings of its that count where the recipe nsr is named
    in the same list: what suits another signal or scale. Raises SpecError unless it maps built-in names to settings.
    """
    names, merged = list(names), dict[str, Any]()
    for name in names:
        settings = read_yaml(recipe_path(name))
        beside = settings.pop("beside", {})
        if not isinstance(beside, dict) or not all(isinstance(other, dict) for other in beside.values()):
            raise SpecError(f"'beside' of the recipe {name!r} must map names of recipes to settings, found {beside!r}.")
        for other in beside:
            recipe_path(str(other))  # names an unknown one
        merged |= settings
        for other in names:
            merged |= beside.get(other, {})
    return merged
