"""Print the learning signal after each step of an advantage chain; loads no model."""

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr explain --advantage nsr
rlvr explain --advantage 'grpo, drop_near_impossible(threshold=0.05)'
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("--advantage", default="grpo", help="advantage specs, applied in order (default: grpo)")
    args = parser.parse_args(argv)
    from rlvr.advantages import EXAMPLES, build, explain

    print(explain(EXAMPLES, build(args.advantage)))
    return 0
