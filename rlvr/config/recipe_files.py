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
    """Read and merge recipes from left to right; the result still has to be checked against the fields."""
    merged: dict[str, Any] = {}
    for name in names:
        merged |= read_yaml(recipe_path(name))
    return merged
