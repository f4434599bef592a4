"""Parse arguments the same way in every command, and print the help of a config's settings."""

import argparse
import dataclasses
import sys
import textwrap


def command_parser(module: str, train_settings: bool = False, **kwargs) -> argparse.ArgumentParser:
    """Return the parser of a command's module: its docstring is the description, its EXAMPLES the epilog.

    `train_settings` says that the command takes the settings of `rlvr train`: its help names that command instead of
    listing them.
    """
    command = sys.modules[module]
    settings = (
        "\nsettings: every flag of rlvr train; rlvr train --help lists them, --help all TRL's too"
        if train_settings
        else ""
    )
    return argparse.ArgumentParser(
        prog=f"rlvr {module.rsplit('.', 1)[-1].replace('_', ' ')}",
        description=command.__doc__,
        epilog="examples:\n" + textwrap.indent(command.EXAMPLES, "  ") + settings,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **kwargs,
    )


def config_help(kind: type, parser: argparse.ArgumentParser) -> None:
    """Print the command's own help, then one line for each setting that `kind` declares."""
    print(parser.format_help())
    print("settings (flags here, keys in a recipe):")
    for f in dataclasses.fields(kind):
        text = str(f.metadata.get("help", "")).strip().split("\n")[0]
        if f.init and text:
            default = f.default if f.default is not dataclasses.MISSING else f.default_factory()  # type: ignore[misc, operator]
            print(f"  --{f.name} (default: {default})\n      {textwrap.shorten(text, 160)}")
