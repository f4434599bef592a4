"""Apply utility where it belongs, after training: choose an action, vote, or rank candidates."""

from pathlib import Path

from rlvr.commands import load
from rlvr.commands.parser import command_parser
from rlvr.core.errors import SpecError, did_you_mean

EXAMPLES = """\
rlvr decide utility runs/demo/eval/after/arithmetic.json --wrong -5 --abstain 0
rlvr decide runs/demo/eval/after/arithmetic.json --wrong -5
rlvr decide vote runs/demo/eval/after/arithmetic.json
rlvr decide rank --log clicks.parquet
"""
ACTIONS = ("utility", "vote", "rank")  # each is rlvr/commands/decide_<action>.py, a command like any other


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("action", help=f"{', '.join(ACTIONS)}; an evaluation file or a run directory means utility")
    args, _ = parser.parse_known_args(argv[:1])
    if args.action in ACTIONS:
        return load(f"decide_{args.action}").run(argv[1:])
    if args.action.endswith(".json") or Path(args.action).is_dir():
        return load("decide_utility").run(argv)
    raise SpecError(
        did_you_mean("action", args.action, ACTIONS, "Or give an evaluation file ending in .json, or a run directory.")
    )
