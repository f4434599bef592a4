"""Write one self-contained report.html and report.md over one or more runs."""

from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr report runs/demo
rlvr report runs/* --out comparison/
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--out", type=Path, help="folder of the report (default: the run's own, or ./report)")
    own = parser.parse_args(argv)
    from rlvr.report import write_report

    print(write_report(own.runs, own.out or (own.runs[0] if len(own.runs) == 1 else Path("report"))))
    return 0
