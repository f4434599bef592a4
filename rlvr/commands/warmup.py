"""Teach a model the tags on worked solutions, and print the folder of the result."""

from rlvr.commands.parser import command_parser
from rlvr.core.errors import RlvrError

EXAMPLES = """\
rlvr warmup --config smollm2
rlvr warmup --config smollm2 --sft_steps 80
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, train_settings=True)
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    args, rest = parser.parse_known_args(argv)
    from rlvr.config.settings import TrainConfig, parse_config

    config = parse_config(TrainConfig, args.config, rest, "rlvr warmup")
    from rlvr.core.console import say
    from rlvr.training.supervised.warmup import warmup, warmup_settings

    if not config.sft_steps:
        raise RlvrError("sft_steps is 0, so there is nothing to do. Give --sft_steps 40, or a recipe that sets it.")
    say(str(config.precision))
    print(warmup(warmup_settings(config)))
    return 0
