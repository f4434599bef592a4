"""Judge completions made elsewhere, or a stored evaluation again, and print pass@k and calibration with intervals."""

from pathlib import Path

from rlvr.commands.parser import command_parser, config_help
from rlvr.core.console import LOG

EXAMPLES = """\
rlvr score samples.jsonl --set 'jsonl(path="problems.jsonl", answer="final")' --split all
rlvr score a.parquet --verifier number --columns completion=output gold=target --against b.parquet
rlvr score evals/warm.json --verifier math                (an evaluation that kept its texts, judged otherwise)
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    parser.add_argument("file", nargs="?", type=Path, help="completions (.jsonl, .parquet) or an evaluation (.json)")
    parser.add_argument(
        "--against", type=Path, help="another file of the same problems: print the paired change from it"
    )
    parser.add_argument(
        "--confidence",
        default="stated",
        choices=("stated", "sequence", "sequence_mean", "vote"),
        help="whose calibration the table shows",
    )
    parser.add_argument("--out", type=Path, help="file to write (default: evals/<file>-scored.json)")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config.reading import parse_config
    from rlvr.config.score_settings import ScoreConfig

    if own.help or not own.file:
        config_help(ScoreConfig, parser)
        return 0 if own.help else 2
    config = parse_config(ScoreConfig, (), rest, "rlvr score")
    from rlvr.core.errors import SpecError
    from rlvr.measure.stored.score import score
    from rlvr.report import eval_table
    from rlvr.runs.eval_file import load_eval, save_eval
    from rlvr.runs.texts_file import without_texts

    out = own.out or Path("evals") / f"{own.file.stem}-scored.json"
    if out.resolve() == own.file.resolve():
        raise SpecError(f"--out is the file that is read, {str(own.file)!r}. Name another one.")
    against = None
    if own.against is not None:
        as_stored = own.against.suffix == ".json"  # an evaluation has its verdicts already
        against = load_eval(own.against) if as_stored else score(own.against, config)
    found = score(own.file, config)
    save_eval(found if config.texts == "parquet" else without_texts(found), out)
    print(eval_table(found, against, own.confidence))
    LOG.info(f"written to {out}")
    return 0
