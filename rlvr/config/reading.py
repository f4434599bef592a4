"""Build a config from recipes and flags: what YAML and the command line say, checked against the fields' types."""

import dataclasses
import difflib
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlvr.config.checks import check_type
from rlvr.config.recipe_files import read_recipes
from rlvr.core.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from transformers import HfArgumentParser


def parse_config(kind: type, recipes: Sequence[str] = (), argv: Sequence[str] = (), prog: str | None = None) -> Any:
    """Build a config from recipes and command-line flags (flags win); raises as `build_config` does.

    >>> from rlvr.config.settings import EvalConfig
    >>> parse_config(EvalConfig, argv=["--n", "4"]).n
    4
    """
    return build_config(kind, read_recipes(recipes), argv, prog)


def build_config(kind: type, settings: Mapping[str, Any], argv: Sequence[str] = (), prog: str | None = None) -> Any:
    """Build a config from settings as a recipe holds them, and command-line flags (flags win).

    Raises SpecError for unknown keys and flags ("did you mean"), and whatever the config itself refuses.
    """
    parser = config_parser(kind, prog)
    fields = {f.name for f in dataclasses.fields(kind) if f.init}
    for key in settings:
        if key not in fields:
            raise SpecError(did_you_mean("setting", str(key), _near(str(key), fields), "See rlvr train --help."))
    parser.set_defaults(**{k: _argument(v, kind, k) for k, v in settings.items()})
    namespace, rest = parser.parse_known_args(list(argv))
    if rest:
        flag = rest[0].removeprefix("--").split("=")[0]
        raise SpecError(did_you_mean("flag", f"--{flag}", [f"--{f}" for f in _near(flag, fields)]))
    try:
        return kind(**{k: v for k, v in vars(namespace).items() if k in fields})
    except (TypeError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"These settings do not go together: {error}") from error


def config_parser(kind: type, prog: str | None = None) -> "HfArgumentParser":
    """Return the argument parser whose flags are the fields of `kind`."""
    from transformers import HfArgumentParser  # not above: --help prints settings without it

    return HfArgumentParser(kind, prog=prog, allow_abbrev=False, add_help=False)


def _near(name: str, fields: set[str]) -> list[str]:
    """Return the fields worth listing beside an unknown one (there are over two hundred)."""
    return difflib.get_close_matches(name, fields, n=5, cutoff=0.5)


def _argument(value: Any, kind: type, name: str) -> Any:
    """Turn a YAML value into what argparse would produce (YAML reads 1e-5 as text, 1 as an integer), and check it."""
    wanted = typing.get_type_hints(kind).get(name)
    numeric = {wanted, *typing.get_args(wanted)} & {float, int}
    if numeric and isinstance(value, str):
        try:
            value = float(value) if "e" in value.lower() or "." in value else int(value)
        except ValueError:
            if str not in typing.get_args(wanted):
                raise SpecError(f"Setting {name!r} must be a number, found {value!r}.") from None
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if numeric == {int} and isinstance(value, float) and value.is_integer():
        return int(value)
    if name != "rewards":  # the config says better itself what it wants
        check_type(name, value, wanted)
    return value
