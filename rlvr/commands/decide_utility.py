"""Answer, abstain, escalate or resample: the action of highest expected utility, on a stored evaluation."""

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr decide utility runs/demo/eval/after/arithmetic.json --wrong -5 --abstain 0
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("eval", help="evaluation file, as rlvr evaluate or rlvr train writes it")
    parser.parse_args(argv)
    raise NotImplementedError
