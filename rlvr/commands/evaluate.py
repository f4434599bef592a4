"""Sample n completions per problem, store them, and print pass@k and calibration with intervals."""

import sys
from pathlib import Path

from rlvr.commands.parser import command_parser, config_help

EXAMPLES = """\
rlvr evaluate smollm2-135m-instruct --set 'arithmetic(levels=[0, 1])' --n 64
rlvr evaluate runs/demo/model --set arithmetic --n 16 --out after.json
rlvr evaluate runs/demo/model --set arithmetic --n 16 --against before.json
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    parser.add_argument("model", nargs="?", help="model spec: built-in name, local folder, or hub id")
    parser.add_argument("--against", type=Path, help="an earlier evaluation file: print the paired change from it too")
    parser.add_argument(
        "--confidence",
        default="stated",
        choices=("stated", "sequence", "sequence_mean", "vote"),
        help="whose calibration the table shows",
    )
    parser.add_argument("--out", type=Path, help="file to write (default: evals/<model>-<set>.json)")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config import EvalConfig, parse_config

    if own.help or not own.model:
        config_help(EvalConfig, parser)
        return 0 if own.help else 2
    config = parse_config(EvalConfig, (), rest, "rlvr evaluate")
    from rlvr.eval_file import load_eval, save_eval
    from rlvr.evaluate import evaluate_config
    from rlvr.report import eval_table
    from rlvr.runs import slug

    against = None if own.against is None else load_eval(own.against)
    record = evaluate_config(own.model, config)
    out = own.out or Path("evals") / f"{slug(Path(own.model).name)}-{slug(config.set)}.json"
    save_eval(record, out)
    print(eval_table(record, against, own.confidence))
    print(f"written to {out}", file=sys.stderr)
    return 0
