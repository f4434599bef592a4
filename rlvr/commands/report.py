"""Write one self-contained report.html and report.md over one or more runs, or the comparison of an ablation."""

from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr report runs/demo
rlvr report runs/* --out comparison/
rlvr report ablations/rewards
rlvr report evals/a.json evals/b.json --out comparison/      (of stored completions, say: the first is compared with)
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories, evaluations (.json), or one ablation")
    parser.add_argument("--out", type=Path, help="folder of the report (default: the run's own, or ./report)")
    args = parser.parse_args(argv)
    from rlvr.core.errors import RunError
    from rlvr.planning.ablation.folder import is_ablation
    from rlvr.report import write_report

    if ablations := [path for path in args.runs if is_ablation(path)]:
        if len(args.runs) > 1:
            raise RunError(f"{ablations[0]} is an ablation: report it alone, e.g. rlvr report {ablations[0]}")
        from rlvr.report.results import Ablation

        print(Ablation(args.runs[0]).write(args.out or args.runs[0]))
        return 0
    own = args.runs[0] if len(args.runs) == 1 and args.runs[0].suffix != ".json" else Path("report")
    print(write_report(args.runs, args.out or own))
    return 0
