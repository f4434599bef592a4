"""Print the learning signal after each step of an advantage chain, or whether a run could learn; loads no model."""

from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr explain --advantage nsr
rlvr explain --advantage 'grpo, drop_near_impossible(threshold=0.05)'
rlvr explain runs/demo
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("--advantage", default="grpo", help="advantage specs, applied in order (default: grpo)")
    parser.add_argument("run", nargs="?", type=Path, help="a run directory: what it measured of its health, and advice")
    args = parser.parse_args(argv)
    if args.run:
        return _explain_run(args.run)
    from rlvr.advantages import EXAMPLES, build, explain

    print(explain(EXAMPLES, build(args.advantage)))
    return 0


def _explain_run(path: Path) -> int:
    """Print the verdict on a run, and each measurement that it rests on beside what is wanted."""
    from rlvr.report.read import read_run
    from rlvr.report.tables import Table
    from rlvr.report.terminal import text_table
    from rlvr.training.health import health_checks, health_verdict

    rows = read_run(path)["metrics"]
    print(f"{path}: {health_verdict(rows)}\n")
    checks = [(check.name, check.value, check.wanted) for check in health_checks(rows)]
    print("\n".join(line.rstrip() for line in text_table(Table(("what", "measured", "wanted"), checks))))
    return 0
