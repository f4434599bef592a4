"""Write a stored evaluation as JSONL or CSV (a row for each sample), or its metrics as a LaTeX table."""

from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr export evals/warm.json --out samples.jsonl       (with texts; rlvr score reads it back)
rlvr export evals/warm.json --out samples.csv
rlvr export evals/warm.json --out table.tex --against evals/before.json
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("eval", type=Path, help="evaluation file, as rlvr evaluate, score, import or train writes it")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .jsonl, .csv or .tex")
    parser.add_argument("--against", type=Path, help="with .tex: an earlier evaluation, for the paired change")
    own = parser.parse_args(argv)
    from rlvr.core.errors import SpecError
    from rlvr.report.results import Evaluation

    if own.against and own.out.suffix != ".tex":
        raise SpecError("--against is for a LaTeX table: a file of samples holds those of one evaluation.")
    found = Evaluation(own.eval)
    print(found.export(own.out) if own.against is None else Evaluation(own.against).compare(found).export(own.out))
    return 0
